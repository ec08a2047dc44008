"""Go with its frameworks: harm is seen where it is done, and the same without harm is let pass."""

from __future__ import annotations

import pytest

from buril.scanners.taint import Taint

HEAD = """package main
import (
"net/http"
"os/exec"
"fmt"
"os"
"html/template"
ttemplate "text/template"
"database/sql"
"encoding/json"
"path/filepath"
"strings"
"io"
"net/url"
"crypto/tls"
"crypto/rand"
mrand "math/rand"
"crypto/md5"
"context"
"bufio"
"errors"
"net"
"sync"
"time"
"regexp"
"strconv"
"encoding/xml"
"bytes"
"github.com/gin-gonic/gin"
"github.com/labstack/echo/v4"
"github.com/gofiber/fiber/v2"
"gorm.io/gorm"
"github.com/jackc/pgx/v5/pgxpool"
"github.com/jmoiron/sqlx"
"go.mongodb.org/mongo-driver/bson"
"go.mongodb.org/mongo-driver/mongo"
"github.com/gorilla/mux"
"github.com/gorilla/websocket"
"golang.org/x/crypto/ssh"
"github.com/antchfx/xmlquery"
"golang.org/x/crypto/bcrypt"
"github.com/gorilla/sessions"
"github.com/rs/cors"
"github.com/golang-jwt/jwt/v5")
"""


def rules(text: str) -> set[str]:
    return {item.rule for item in Taint().scan(HEAD + text, "go")}


HARM = [
    (
        "sql",
        """func (s *Store) find(c *gin.Context) {
 var u User
 s.db.Where("name = '" + c.Query("n") + "'").First(&u)
}
type Store struct{ db *gorm.DB }
type User struct{}
""",
    ),
    (
        "sql",
        """func f(c echo.Context, db *gorm.DB) error {
 var us []User
 return db.Order(c.QueryParam("sort")).Find(&us).Error
}
type User struct{}
""",
    ),
    (
        "sql",
        """func f(w http.ResponseWriter, r *http.Request, pool *pgxpool.Pool) {
 rows, err := pool.Query(r.Context(), fmt.Sprintf("select * from t where a='%s'", r.URL.Query().Get("a")))
 _ = rows; _ = err
}
""",
    ),
    (
        "sql",
        """func f(c *fiber.Ctx) error {
 q := "select * from users where id = " + c.Params("id")
 var u []U
 err := sqlx.MustConnect("a","b").Select(&u, q)
 return err
}
type U struct{}
""",
    ),
    (
        "sql",
        """func f(c *gin.Context, db *gorm.DB) {
 var u U
 db.First(&u, c.Param("id"))
}
type U struct{Name string}
""",
    ),
    (
        "sql",
        """func f(w http.ResponseWriter, r *http.Request, db *sql.DB) {
 var sb strings.Builder
 sb.WriteString("select * from t where 1=1")
 if n := r.FormValue("n"); n != "" { sb.WriteString(" and n = '" + n + "'") }
 db.QueryContext(r.Context(), sb.String())
}
""",
    ),
    (
        "sql",
        """func f(w http.ResponseWriter, r *http.Request, db *sql.DB) {
 conds := []string{}
 for k, v := range r.URL.Query() { conds = append(conds, k+"='"+v[0]+"'") }
 q := "select * from t where " + strings.Join(conds, " and ")
 db.Query(q)
}
""",
    ),
    (
        "xss",
        """func f(w http.ResponseWriter, r *http.Request) {
 t := ttemplate.Must(ttemplate.New("a").Parse("<p>{{.}}</p>"))
 t.Execute(w, r.FormValue("n"))
}
""",
    ),
    (
        "xss",
        """var t = template.Must(template.New("a").Parse("x"))
func f(w http.ResponseWriter, r *http.Request) {
 t.Execute(w, map[string]any{"a": template.HTML(r.FormValue("n"))})
}
""",
    ),
    (
        "xss",
        """func f(w http.ResponseWriter, r *http.Request) {
 io.WriteString(w, "<h1>" + mux.Vars(r)["n"] + "</h1>")
}
""",
    ),
    (
        "xss",
        """func f(c echo.Context) error {
 return c.HTML(200, "<b>" + c.QueryParam("n") + "</b>")
}
""",
    ),
    (
        "xss",
        """func f(c *gin.Context) {
 c.Data(200, "text/html; charset=utf-8", []byte("<p>"+c.Query("a")+"</p>"))
}
""",
    ),
    (
        "path",
        """func f(c *gin.Context) {
 c.File("./files/" + c.Param("name"))
}
""",
    ),
    (
        "path",
        """func f(w http.ResponseWriter, r *http.Request) {
 name := strings.TrimPrefix(r.URL.Path, "/files/")
 b, err := os.ReadFile("/data/" + name)
 if err != nil { http.Error(w, err.Error(), 500); return }
 w.Write(b)
}
""",
    ),
    (
        "upload",
        """func f(c *gin.Context) {
 file, _ := c.FormFile("f")
 c.SaveUploadedFile(file, "./up/"+file.Filename)
}
""",
    ),
    (
        "upload",
        """func f(w http.ResponseWriter, r *http.Request) {
 file, header, err := r.FormFile("f")
 if err != nil { return }
 defer file.Close()
 dst, err := os.Create(filepath.Join("/up", header.Filename))
 io.Copy(dst, file)
}
""",
    ),
    (
        "ssrf",
        """func f(w http.ResponseWriter, r *http.Request) {
 client := &http.Client{Timeout: time.Second}
 resp, err := client.Get(r.URL.Query().Get("u"))
 _ = resp; _ = err
}
""",
    ),
    (
        "ssrf",
        """func f(w http.ResponseWriter, r *http.Request) {
 req, _ := http.NewRequestWithContext(r.Context(), "GET", "http://"+r.FormValue("h")+"/x", nil)
 http.DefaultClient.Do(req)
}
""",
    ),
    (
        "redirect",
        """func f(c *gin.Context) {
 c.Redirect(302, c.Query("next"))
}
""",
    ),
    (
        "command",
        """type Req struct { Host string `json:"host"`; Count int }
func ping(w http.ResponseWriter, r *http.Request) {
 var q Req
 b, _ := io.ReadAll(r.Body)
 if err := json.Unmarshal(b, &q); err != nil { return }
 out, _ := exec.Command("sh", "-c", fmt.Sprintf("ping -c %d %s", q.Count, q.Host)).CombinedOutput()
 w.Write(out)
}
""",
    ),
    (
        "command",
        """func h(c *gin.Context) {
 cmd := exec.Command("bash")
 cmd.Args = []string{"bash", "-c", c.PostForm("x")}
 cmd.Run()
}
""",
    ),
    (
        "command",
        """func h(w http.ResponseWriter, r *http.Request) {
 args := []string{"-c"}
 args = append(args, "echo " + r.FormValue("x"))
 cmd := exec.CommandContext(r.Context(), "/bin/sh", args...)
 cmd.Run()
}
""",
    ),
    (
        "command",
        """func h(w http.ResponseWriter, r *http.Request) {
 c, _ := ssh.Dial("tcp", "h:22", nil)
 s, _ := c.NewSession()
 s.Run("ls " + r.FormValue("d"))
}
""",
    ),
    (
        "command",
        """var up = websocket.Upgrader{}
func h(w http.ResponseWriter, r *http.Request) {
 conn, _ := up.Upgrade(w, r, nil)
 for {
  _, msg, err := conn.ReadMessage()
  if err != nil { break }
  exec.Command("sh", "-c", string(msg)).Run()
 }
}
""",
    ),
    (
        "command",
        """func main() {
 ln, _ := net.Listen("tcp", ":1")
 for { conn, err := ln.Accept(); if err != nil { continue }; go handle(conn) }
}
func handle(conn net.Conn) {
 sc := bufio.NewScanner(conn)
 for sc.Scan() { exec.Command("sh", "-c", sc.Text()).Run() }
}
""",
    ),
    (
        "command",
        """type Server struct { mux *http.ServeMux; last string; mu sync.Mutex }
func (s *Server) set(w http.ResponseWriter, r *http.Request) { s.mu.Lock(); defer s.mu.Unlock(); s.last = r.FormValue("x") }
func (s *Server) run(w http.ResponseWriter, r *http.Request) { exec.Command("sh", "-c", s.last).Run() }
""",
    ),
    (
        "command",
        """func auth(next http.Handler) http.Handler {
 return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
  exec.Command("sh","-c", r.Header.Get("X")).Run()
  next.ServeHTTP(w, r)
 })
}
""",
    ),
    (
        "command",
        """func main() {
 r := gin.Default()
 r.GET("/a", func(c *gin.Context) {
  name := c.DefaultQuery("n", "x")
  switch {
  case strings.HasPrefix(name, "a"):
   exec.Command("sh","-c","ls "+name).Run()
  default:
  }
 })
}
""",
    ),
    (
        "database-code",
        """func h(c *gin.Context, col *mongo.Collection) {
 col.Find(c, bson.M{"$where": "this.a == '" + c.Query("a") + "'"})
}
""",
    ),
    (
        "nosql",
        """func h(c *gin.Context, col *mongo.Collection) {
 var q map[string]interface{}
 c.BindJSON(&q)
 col.FindOne(c, q)
}
""",
    ),
    (
        "nosql",
        """func h(c *gin.Context, col *mongo.Collection) {
 var q bson.M
 c.BindJSON(&q)
 col.FindOne(c, bson.M{"name": q["name"]})
}
""",
    ),
    (
        "database-code",
        """func h(c *gin.Context, col *mongo.Collection) {
 col.Find(c, bson.D{{"$where", "this.a == '" + c.Query("a") + "'"}})
}
""",
    ),
    (
        "xpath",
        """func h(w http.ResponseWriter, r *http.Request) {
 doc, _ := xmlquery.Parse(r.Body)
 xmlquery.FindOne(doc, "//u[@n='" + r.FormValue("n") + "']")
}
""",
    ),
    (
        "no-certificate-check",
        """func c() *http.Client {
 tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
 return &http.Client{Transport: tr}
}
""",
    ),
    (
        "no-certificate-check",
        """func c() {
 cfg := &tls.Config{}
 cfg.InsecureSkipVerify = true
 http.DefaultTransport.(*http.Transport).TLSClientConfig = cfg
}
""",
    ),
    (
        "no-host-key-check",
        """var c = &ssh.ClientConfig{HostKeyCallback: ssh.InsecureIgnoreHostKey()}
""",
    ),
    (
        "no-host-key-check",
        """var c = &ssh.ClientConfig{HostKeyCallback: func(h string, a net.Addr, k ssh.PublicKey) error { return nil }}
""",
    ),
    (
        "weak-random",
        """func token() string {
 return fmt.Sprintf("%d", mrand.Int63())
}
""",
    ),
    (
        "weak-random",
        """func newSessionID() string {
 b := make([]byte, 16)
 for i := range b { b[i] = letters[mrand.Intn(len(letters))] }
 return string(b)
}
var letters = "abc"
""",
    ),
    (
        "fast-password-hash",
        """func hashPassword(password string) string {
 s := md5.Sum([]byte(password))
 return fmt.Sprintf("%x", s)
}
""",
    ),
    (
        "few-rounds",
        """func h(p string) { bcrypt.GenerateFromPassword([]byte(p), bcrypt.MinCost) }
""",
    ),
    (
        "insecure-cookie",
        """var store = sessions.NewCookieStore(k)
func i() { store.Options = &sessions.Options{Path: "/", MaxAge: 3600, HttpOnly: true, Secure: false} }
""",
    ),
    (
        "any-origin",
        """var c = cors.New(cors.Options{AllowedOrigins: []string{"*"}, AllowCredentials: true})
""",
    ),
    (
        "origin",
        """func h(w http.ResponseWriter, r *http.Request) {
 w.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
 w.Header().Set("Access-Control-Allow-Credentials", "true")
}
""",
    ),
    (
        "token-not-verified",
        """func h(t string) { p := jwt.NewParser()
 tok, _, err := p.ParseUnverified(t, jwt.MapClaims{})
 _ = tok; _ = err }
""",
    ),
    (
        "token-not-verified",
        """func h(t string) { jwt.Parse(t, func(t *jwt.Token) (interface{}, error) { return jwt.UnsafeAllowNoneSignatureType, nil }) }
""",
    ),
    (
        "old-tls",
        """var c = tls.Config{MinVersion: tls.VersionTLS10}
""",
    ),
    (
        "open-to-all",
        """func f() { os.Chmod("/x", 0777) }
""",
    ),
    (
        "temporary-name",
        """func f() { os.WriteFile(filepath.Join(os.TempDir(), "a.txt"), nil, 0600) }
""",
    ),
    (
        "template",
        """func f(w http.ResponseWriter, r *http.Request) {
 t, _ := template.New("x").Parse("<p>" + r.FormValue("t") + "</p>")
 t.Execute(w, nil)
}
""",
    ),
    (
        "hard-coded-secret",
        """var cfg = Config{
 User: "a",
 Password: "bl-Marmot!Harbor7",
}
type Config struct { User, Password string }
""",
    ),
    (
        "command",
        """type Runner interface { Run(x string) error }
type shell struct{}
func (s shell) Run(x string) error { return exec.Command("sh","-c",x).Run() }
func f(w http.ResponseWriter, r *http.Request) { var k Runner = shell{}; k.Run(r.FormValue("x")) }
""",
    ),
    (
        "command",
        """type base struct{}
func (b *base) exec1(x string) { exec.Command("sh","-c",x).Run() }
type S struct { base }
func (s *S) h(w http.ResponseWriter, r *http.Request) { s.exec1(r.FormValue("x")) }
""",
    ),
    (
        "command",
        """func Map[T, U any](xs []T, f func(T) U) []U { var out []U; for _, x := range xs { out = append(out, f(x)) }; return out }
func f(w http.ResponseWriter, r *http.Request) {
 ys := Map(r.Form["x"], func(s string) string { return "ls " + s })
 exec.Command("sh","-c",ys[0]).Run()
}
""",
    ),
    (
        "command",
        """type job struct { cmd string }
func f(w http.ResponseWriter, r *http.Request) {
 jobs := make(chan job, 1)
 var wg sync.WaitGroup
 wg.Add(1)
 go func() { defer wg.Done(); for j := range jobs { exec.Command("sh","-c",j.cmd).Run() } }()
 jobs <- job{cmd: r.FormValue("x")}
 close(jobs); wg.Wait()
}
""",
    ),
    (
        "command",
        """func f(w http.ResponseWriter, r *http.Request) {
 handlers := map[string]func(string){ "a": func(s string) { exec.Command("sh","-c",s).Run() } }
 if h, ok := handlers["a"]; ok { h(r.FormValue("x")) }
}
""",
    ),
    (
        "command",
        """type opt func(*cfg)
type cfg struct { cmd string }
func with(s string) opt { return func(c *cfg) { c.cmd = s } }
func run(opts ...opt) { c := &cfg{}; for _, o := range opts { o(c) }; exec.Command("sh","-c",c.cmd).Run() }
func f(w http.ResponseWriter, r *http.Request) { run(with(r.FormValue("x"))) }
""",
    ),
    (
        "command",
        """func f(w http.ResponseWriter, r *http.Request) {
 x := r.FormValue("x")
 var err error
 defer func() { if err != nil { exec.Command("sh","-c","echo "+x).Run() } }()
 err = errors.New("a")
}
""",
    ),
    (
        "command",
        """func parse(r *http.Request) (string, error) {
 n := r.URL.Query().Get("n")
 if n == "" { return "", fmt.Errorf("bad %q", n) }
 return n, nil
}
func f(w http.ResponseWriter, r *http.Request) {
 n, err := parse(r)
 if err != nil { http.Error(w, err.Error(), 400); return }
 exec.Command("sh","-c","ls "+n).Run()
}
""",
    ),
    (
        "xss",
        """func write(w http.ResponseWriter, s string) { fmt.Fprint(w, s) }
func f(w http.ResponseWriter, r *http.Request) { write(w, r.FormValue("a")) }
""",
    ),
    (
        "path",
        """func f(w http.ResponseWriter, r *http.Request) {
 p := filepath.Clean(r.FormValue("f"))
 os.Open(p)
}
""",
    ),
    (
        "redirect",
        """func f(w http.ResponseWriter, r *http.Request) { to := r.URL.Query().Get("to"); if to == "" { to = "/" }; http.Redirect(w, r, to, http.StatusFound) }
""",
    ),
    (
        "path",
        """func f(c *fiber.Ctx) error { return c.SendFile("./x/" + c.Params("n")) }
""",
    ),
    (
        "command",
        """func (s *server) Run(ctx context.Context, req *pb.RunRequest) (*pb.RunReply, error) { exec.Command("sh","-c",req.GetCmd()).Run(); return nil, nil }
type server struct{}
""",
    ),
    (
        "ssrf",
        """func f(w http.ResponseWriter, r *http.Request) { conn, err := net.Dial("tcp", r.FormValue("h")+":80"); _ = conn; _ = err }
""",
    ),
    (
        "path",
        """func up(w http.ResponseWriter, r *http.Request) {
 r.ParseMultipartForm(1)
 name := r.MultipartForm.Value["name"][0]
 f, _ := os.Create("/up/" + name); _ = f }
""",
    ),
]
HARMLESS = [
    (
        "sql",
        """func f(w http.ResponseWriter, r *http.Request, pool *pgxpool.Pool) {
 rows, err := pool.Query(r.Context(), "select * from t where a=$1", r.URL.Query().Get("a"))
 _ = rows; _ = err
}
""",
    ),
    (
        "sql",
        """func f(c *gin.Context, db *gorm.DB) {
 var u U
 db.Where("name = ?", c.Query("n")).First(&u, "id = ?", c.Param("id"))
 db.Where(&U{Name: c.Query("n")}).Find(&u)
 db.Where(map[string]interface{}{"a": c.Query("x")}).Find(&u)
}
type U struct{Name string}
""",
    ),
    (
        "sql",
        """func f(w http.ResponseWriter, r *http.Request, db *sql.DB) {
 cols := map[string]string{"a":"a","b":"b"}
 col, ok := cols[r.FormValue("s")]
 if !ok { col = "a" }
 db.Query("select * from t order by " + col)
}
""",
    ),
    (
        "xss",
        """func f(w http.ResponseWriter, r *http.Request) {
 t := template.Must(template.New("a").Parse("<p>{{.}}</p>"))
 t.Execute(w, r.FormValue("n"))
}
""",
    ),
    (
        "xss",
        """func f(c echo.Context) error {
 return c.String(200, "hi " + c.QueryParam("n"))
}
""",
    ),
    (
        "xss",
        """func f(w http.ResponseWriter, r *http.Request) {
 fmt.Fprintf(w, "<p>%s</p>", template.HTMLEscapeString(r.FormValue("n")))
}
""",
    ),
    (
        "path",
        """func f(w http.ResponseWriter, r *http.Request) {
 name := filepath.Clean("/" + r.URL.Query().Get("f"))
 os.Open(filepath.Join("/data", name))
}
""",
    ),
    (
        "path",
        """const root = "/data"
func f(w http.ResponseWriter, r *http.Request) {
 p, err := filepath.Abs(filepath.Join(root, r.FormValue("f")))
 if err != nil || !strings.HasPrefix(p, root+"/") { http.NotFound(w, r); return }
 os.Open(p)
}
""",
    ),
    (
        "path",
        """func f(w http.ResponseWriter, r *http.Request) {
 p := filepath.Join("/data", r.FormValue("f"))
 rel, err := filepath.Rel("/data", p)
 if err != nil || strings.HasPrefix(rel, "..") { return }
 os.Open(p)
}
""",
    ),
    (
        "path",
        """func f(w http.ResponseWriter, r *http.Request) {
 root, _ := os.OpenRoot("/data")
 root.Open(r.FormValue("f"))
}
""",
    ),
    (
        "upload",
        """func f(c *gin.Context) {
 file, _ := c.FormFile("f")
 ext := strings.ToLower(filepath.Ext(file.Filename))
 if ext != ".png" && ext != ".jpg" { return }
 c.SaveUploadedFile(file, "./up/"+file.Filename)
}
""",
    ),
    (
        "ssrf",
        """var hosts = map[string]bool{"a.example": true}
func f(w http.ResponseWriter, r *http.Request) {
 u, err := url.Parse(r.FormValue("u"))
 if err != nil || u.Scheme != "https" || !hosts[u.Hostname()] { http.Error(w, "no", 400); return }
 http.Get(u.String())
}
""",
    ),
    (
        "ssrf",
        """func f(w http.ResponseWriter, r *http.Request) {
 u := url.URL{Scheme: "https", Host: "api.example.com", Path: "/x/" + r.FormValue("id")}
 http.Get(u.String())
}
""",
    ),
    (
        "ssrf",
        """func f(w http.ResponseWriter, r *http.Request) {
 u, _ := url.Parse("https://api.example.com/x")
 q := u.Query()
 q.Set("id", r.FormValue("id"))
 u.RawQuery = q.Encode()
 http.Get(u.String())
}
""",
    ),
    (
        "redirect",
        """func f(w http.ResponseWriter, r *http.Request) {
 n := r.FormValue("n")
 if !strings.HasPrefix(n, "/") || strings.HasPrefix(n, "//") { n = "/" }
 http.Redirect(w, r, n, 302)
}
""",
    ),
    (
        "redirect",
        """func f(w http.ResponseWriter, r *http.Request) {
 u, err := url.Parse(r.FormValue("n"))
 if err != nil || u.IsAbs() || u.Host != "" { http.Redirect(w, r, "/", 302); return }
 http.Redirect(w, r, u.String(), 302)
}
""",
    ),
    (
        "redirect",
        """func f(w http.ResponseWriter, r *http.Request) {
 http.Redirect(w, r, "https://"+r.Host+r.URL.String(), 301)
}
""",
    ),
    (
        "command",
        """type Req struct { Host string `json:"host"`; Count int }
func ping(w http.ResponseWriter, r *http.Request) {
 var q Req
 json.NewDecoder(r.Body).Decode(&q)
 exec.Command("sh", "-c", fmt.Sprintf("ping -c %d localhost", q.Count)).Run()
 exec.Command("ping", "-c", "1", q.Host).Run()
}
""",
    ),
    (
        "nosql",
        """func h(c *gin.Context, col *mongo.Collection) {
 col.FindOne(c, bson.M{"name": c.Query("name")})
}
""",
    ),
    (
        "xss",
        """func f(w http.ResponseWriter, r *http.Request, s *Store) {
 u, err := s.repo.FindUser(r.Context(), mux.Vars(r)["id"])
 if err != nil { http.Error(w, err.Error(), 404); return }
 fmt.Fprintf(w, "<p>%s</p>", u.Name)
}
type Store struct { repo Repo }
type Repo interface { FindUser(c context.Context, id string) (U, error) }
type U struct { Name string }
""",
    ),
    (
        "command",
        """func f(w http.ResponseWriter, r *http.Request) {
 x := r.FormValue("x")
 switch y := any(x).(type) {
 case int:
  exec.Command("sh","-c",fmt.Sprint(y)).Run()
 }
}
""",
    ),
    (
        "command",
        """var name = regexp.MustCompile("^[a-z0-9-]{1,20}$")
func parse(r *http.Request) (string, error) {
 n := r.URL.Query().Get("n")
 if !name.MatchString(n) { return "", fmt.Errorf("bad %q", n) }
 return n, nil
}
func f(w http.ResponseWriter, r *http.Request) {
 n, err := parse(r)
 if err != nil { http.Error(w, err.Error(), 400); return }
 exec.Command("sh","-c","ls "+n).Run()
}
""",
    ),
    (
        "command",
        """type Level string
const (A Level = "a"; B Level = "b")
func ok(l Level) bool { switch l { case A, B: return true }; return false }
func f(w http.ResponseWriter, r *http.Request) {
 l := Level(r.FormValue("l"))
 if !ok(l) { return }
 exec.Command("sh","-c","x "+string(l)).Run()
}
""",
    ),
    (
        "command",
        """var allowed = []string{"a","b"}
func f(w http.ResponseWriter, r *http.Request) {
 x := r.FormValue("x")
 good := false
 for _, a := range allowed { if a == x { good = true; break } }
 if !good { return }
 exec.Command("sh","-c",x).Run()
}
""",
    ),
    (
        "command",
        """func f(w http.ResponseWriter, r *http.Request) {
 x := r.FormValue("x")
 if x != "start" && x != "stop" { http.Error(w, "no", 400); return }
 exec.Command("sh","-c","svc "+x).Run()
}
""",
    ),
    (
        "command",
        """var set = map[string]struct{}{"a": {}}
func f(w http.ResponseWriter, r *http.Request) {
 x := r.FormValue("x")
 if _, known := set[x]; !known { return }
 exec.Command("sh","-c","svc "+x).Run()
}
""",
    ),
    (
        "sql",
        """func f(w http.ResponseWriter, r *http.Request, db *sql.DB) {
 args := []any{}
 q := "select * from t where 1=1"
 if v := r.FormValue("a"); v != "" { q += " and a = ?"; args = append(args, v) }
 db.Query(q, args...)
}
""",
    ),
    (
        "sql",
        """func f(w http.ResponseWriter, r *http.Request, db *sql.DB) {
 ids := strings.Split(r.FormValue("ids"), ",")
 ph := make([]string, len(ids))
 args := make([]any, len(ids))
 for i, id := range ids { ph[i] = "?"; args[i] = id }
 db.Query("select * from t where id in (" + strings.Join(ph, ",") + ")", args...)
}
""",
    ),
    (
        "sql",
        """func f(w http.ResponseWriter, r *http.Request, db *sql.DB) {
 dir := "asc"
 if r.FormValue("d") == "desc" { dir = "desc" }
 db.Query("select * from t order by a " + dir)
}
""",
    ),
    (
        "sql",
        """func f(w http.ResponseWriter, r *http.Request, db *sql.DB) {
 rows, err := db.Query("select name from t where a = ?", r.FormValue("a"))
 if err != nil { return }
 for rows.Next() { var n string; rows.Scan(&n); db.Exec("insert into u values ('" + n + "')") }
}
""",
    ),
    (
        "xss",
        """func f(w http.ResponseWriter, r *http.Request) {
 b, _ := json.Marshal(map[string]string{"a": r.FormValue("a")})
 w.Write(b)
}
""",
    ),
    (
        "xss",
        """func write(w http.ResponseWriter, s string) { w.Header().Set("Content-Type", "text/plain"); fmt.Fprint(w, s) }
func f(w http.ResponseWriter, r *http.Request) { write(w, r.FormValue("a")) }
""",
    ),
    (
        "xss",
        """func f(w http.ResponseWriter, r *http.Request) {
 id, err := fmt.Sscanf(r.FormValue("a"), "%d")
 fmt.Fprintf(w, "<p>%d</p>", id); _ = err
}
""",
    ),
    (
        "xss",
        """func f(w http.ResponseWriter, r *http.Request) {
 t, err := time.Parse("2006", r.FormValue("a"))
 if err != nil { return }
 fmt.Fprintf(w, "<p>%s</p>", t.Format("2006"))
}
""",
    ),
    (
        "path",
        """func f(w http.ResponseWriter, r *http.Request) {
 name := r.FormValue("f")
 if name != filepath.Base(name) { return }
 os.Open("/data/" + name)
}
""",
    ),
    (
        "path",
        """func f(w http.ResponseWriter, r *http.Request) {
 name := r.FormValue("f")
 if strings.ContainsAny(name, "/\\") { return }
 os.Open("/data/" + name)
}
""",
    ),
    (
        "path",
        """func safe(base, name string) (string, error) {
 p := filepath.Join(base, name)
 if !strings.HasPrefix(p, filepath.Clean(base)+string(os.PathSeparator)) { return "", errors.New("no") }
 return p, nil
}
func f(w http.ResponseWriter, r *http.Request) {
 p, err := safe("/data", r.FormValue("f"))
 if err != nil { return }
 os.Open(p)
}
""",
    ),
    (
        "path",
        """func f(w http.ResponseWriter, r *http.Request) {
 id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
 if err != nil { return }
 os.Open(fmt.Sprintf("/data/%d.txt", id))
}
""",
    ),
    (
        "ssrf",
        """func f(w http.ResponseWriter, r *http.Request) {
 base := os.Getenv("API")
 http.Get(base + "/x?id=" + url.QueryEscape(r.FormValue("id")))
}
""",
    ),
    (
        "ssrf",
        """const api = "https://api.example.com"
func f(w http.ResponseWriter, r *http.Request) {
 req, _ := http.NewRequest("POST", api+"/x", r.Body)
 http.DefaultClient.Do(req)
}
""",
    ),
    (
        "ssrf",
        """func f(w http.ResponseWriter, r *http.Request) {
 u, err := url.Parse(r.FormValue("u"))
 if err != nil { return }
 if u.Host != "a.example" && u.Host != "b.example" { return }
 http.Get(u.String())
}
""",
    ),
    (
        "ssrf",
        """func f(w http.ResponseWriter, r *http.Request) {
 u, err := url.Parse(r.FormValue("u"))
 if err != nil { return }
 switch u.Hostname() { case "a.example", "b.example": default: return }
 http.Get(u.String())
}
""",
    ),
    (
        "insecure-cookie",
        """func f(w http.ResponseWriter, r *http.Request) {
 http.SetCookie(w, &http.Cookie{Name: "s", Value: "", MaxAge: -1})
}
""",
    ),
    (
        "insecure-cookie",
        """func f(w http.ResponseWriter, r *http.Request) {
 c := http.Cookie{Name: "s", Value: r.FormValue("a"), HttpOnly: true, Secure: r.TLS != nil}
 http.SetCookie(w, &c)
}
""",
    ),
    (
        "weak-random",
        """func pick(xs []string) string { return xs[mrand.Intn(len(xs))] }
""",
    ),
    (
        "weak-random",
        """func token() string { b := make([]byte, 8); rand.Read(b); return fmt.Sprintf("%x", b) }
""",
    ),
    (
        "hard-coded-secret",
        """var password = os.Getenv("PASSWORD")
const passwordField = "password"
var c = Config{Password: os.Getenv("P"), Token: ""}
type Config struct { Password, Token string }
""",
    ),
    (
        "open-to-all",
        """func f() { os.Chmod("/x", 0644); os.MkdirAll("/y", 0o755) }
""",
    ),
    (
        "no-certificate-check",
        """var c = &tls.Config{InsecureSkipVerify: false}
func f(skip bool) *tls.Config { return &tls.Config{InsecureSkipVerify: skip} }
""",
    ),
    (
        "temporary-name",
        """func f() { t, _ := os.CreateTemp("", "a"); os.WriteFile(t.Name(), nil, 0600) }
""",
    ),
    (
        "redirect",
        """func f(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/users/"+r.FormValue("id"), 302) }
""",
    ),
]


@pytest.mark.parametrize(("rule", "text"), HARM)
def test_harm_is_seen(rule: str, text: str) -> None:
    assert rule in rules(text)


@pytest.mark.parametrize(("rule", "text"), HARMLESS)
def test_the_same_without_harm_is_let_pass(rule: str, text: str) -> None:
    assert rule not in rules(text)
