"""What frameworks of TypeScript fill: parameters with decorators, handlers by their name or place, and what they check."""

from __future__ import annotations

import pytest

from tests.scanners.test_taint import found

NEST = """import {{ Controller, Get, Post, Body, Query, Param, ParseIntPipe, UploadedFile }} from "@nestjs/common";
import {{ exec }} from "child_process";
import {{ DataSource }} from "typeorm";
{before}
@Controller("x")
export class XController {{
  constructor(private readonly db: DataSource, private http: HttpService) {{}}
  @Get("y")
  async go({params}): Promise<unknown> {{
    {body}
  }}
}}
"""


def nest(params: str, body: str, before: str = "", **settings: str) -> set[str]:
    """Rules that are found in a handler of NestJS."""
    return {item.rule for item in found(NEST.format(params=params, body=body, before=before), "typescript", **settings)}


@pytest.mark.parametrize("params", [
    "@Body() x: Dto", "@Body('name') x: string", "@Query('x') x: string", "@Param('x') x?: string", "@Headers('a') x: string",
    "@Query() { x }: Dto", "@Cookies('a') x: string", "@Query('x', new DefaultValuePipe('a')) x: string", "@Args('x') x: string",
    "@QueryParam('x') x: string", "@BodyProp() x: string", "@param.query.string('x') x: string", "@Payload() x: Dto",
])  # fmt: skip
def test_what_a_decorator_fills_is_input(params: str) -> None:
    assert "command" in nest(params, "exec(`ls ${x}`);")


@pytest.mark.parametrize("params", [
    "@Body() x: number", "@Query('x', ParseIntPipe) x: number", "@Param('id', new ParseUUIDPipe()) x: string",
    "@CurrentUser() x: User", "@Query('x', new ParseEnumPipe(Way)) x: Way", "@Inject(TOKEN) x: string",
])  # fmt: skip
def test_what_a_pipe_checks_or_nobody_chose_is_harmless(params: str) -> None:
    assert "command" not in nest(params, "exec(`ls ${x}`);")
    assert "command" not in nest(params, "exec(`ls ${x}`);", mode="snippet")


def test_fields_of_a_class_that_are_checked_are_harmless() -> None:
    dto = "class Dto {\n  @IsInt() id: string;\n  @IsString() name: string;\n  size: number;\n  @IsIn(['a']) kind: string;\n}\n"
    for field, rules in (("id", set()), ("name", {"command"}), ("size", set()), ("kind", set())):
        assert nest("@Body() x: Dto", f"exec('ls ' + x.{field});", dto) == rules, field


@pytest.mark.parametrize(("body", "rule"), [
    ("return this.db.query(`SELECT a FROM b WHERE c = '${x}'`);", "sql"),
    ("return this.http.get(x);", "ssrf"), ("return `<h1>${x}</h1>`;", "xss"),
    ("return this.repo.createQueryBuilder('a').where(`a.b = '${x}'`).getMany();", "sql"),
    ("return new StreamableFile(require('fs').createReadStream('/data/' + x));", "path"),
    ("return this.prisma.$queryRawUnsafe('SELECT ' + x);", "sql"),
])  # fmt: skip
def test_where_it_does_harm(body: str, rule: str) -> None:
    assert rule in nest("@Query('x') x: string", body)


@pytest.mark.parametrize("body", [
    "return this.db.query('SELECT a FROM b WHERE c = $1', [x]);", "return { x };", "return this.service.find(x);",
    "return this.repo.createQueryBuilder('a').where('a.b = :x', { x }).getMany();", "return this.repo.findOne({ where: { x } });",
    "return this.prisma.$queryRaw`SELECT a FROM b WHERE c = ${x}`;", "return this.db.execute(sql`select ${x}`);",
])  # fmt: skip
def test_where_it_does_none(body: str) -> None:
    assert not nest("@Query('x') x: string", body)


def test_a_body_of_a_class_has_its_fields_alone() -> None:
    for kind, expected in (("CreateDto", set()), ("any", {"attribute"}), ("Record<string, unknown>", {"attribute"})):
        assert nest(f"@Body() x: {kind}", "return this.users.create(x);") == expected, kind
    assert nest("@Body() x: CreateDto", "exec(x.name);") == {"command"}
    assert nest("@Body('a') x: string", "return this.users.findOne({ a: x });") == {"nosql"}
    assert nest("@Body() x: FindDto", "return this.users.findOne({ a: x.a });") == set()


def test_the_other_members_are_the_frameworks() -> None:
    text = "import { exec } from 'child_process';\nexport async function load({ params, locals }) { exec(%s); }\n"
    assert {item.rule for item in found(text % "params.x", "typescript")} == {"command"}
    assert not found(text % "locals.x", "typescript")


HANDLERS = {
    "tRPC": "export const r = router({ a: publicProcedure.input(z.object({ x: z.string() })).query(({ input }) => { exec(input.x); }) });",
    "a route with a pattern": "app.post('/a', async ({ body }, res) => { exec(body.x); });",
    "Next.js": "export async function GET(r: NextRequest, { params }: P) { const { x } = await params; exec(x); }",
    "a page of Next.js": "export default async function Page({ searchParams }: P) { exec(searchParams.x); }",
    "a server action": "'use server';\nexport async function save(form: FormData) { exec(String(form.get('x'))); }",
    "Remix": "export async function loader({ request }: A) { exec(new URL(request.url).searchParams.get('x')); }",
    "SvelteKit": "export async function load({ url }) { exec(url.searchParams.get('x')); }",
    "Hono": "app.get('/a', (c) => { exec(c.req.query('x')); });",
    "Koa": "router.post('/a', async (ctx) => { exec(ctx.request.body.x); });",
    "Fastify": "fastify.get('/a', async (request, reply) => { exec(request.query.x); });",
    "h3": "export default defineEventHandler(async (event) => { const { x } = getQuery(event); exec(x); });",
    "GraphQL": "const resolvers = { Query: { a: (_p, { x }, c) => { exec(x); } } };",
    "a socket": "socket.on('chat', (x) => { exec(x); });",
    "a lambda": "export const handler = async ({ body }) => { exec(JSON.parse(body).x); };",
}


@pytest.mark.parametrize("name", HANDLERS)
def test_handlers_by_name_and_place(name: str) -> None:
    text = HANDLERS[name] + "\nimport { exec } from 'child_process';\n"
    assert "command" in {item.rule for item in found(text, "typescript")}


@pytest.mark.parametrize("text", [
    "export const r = p.input(z.object({ x: z.number() })).mutation(({ input }) => { exec('a' + input.x); });",
    "export async function GETS(r: A, { params }: P) { exec(params.x); }", "function Page({ searchParams }) { exec(searchParams.x); }",
    "export async function save(form: FormData) { exec(String(form.get('x'))); }", "socket.on('error', (x) => { exec(x); });",
    "emitter.on('chat', (x) => { exec(x); });", "const r = { Other: { a: (_p, { x }) => { exec(x); } } };",
])  # fmt: skip
def test_what_is_none(text: str) -> None:
    assert "command" not in {
        item.rule for item in found("import { exec } from 'child_process';\n" + text, "typescript")
    }


def test_angular() -> None:
    text = """export class A {
  private route = inject(ActivatedRoute);
  constructor(private dom: DomSanitizer, route: ActivatedRoute) {
    this.html = dom.bypassSecurityTrustHtml(route.snapshot.queryParamMap.get('a'));
    this.clean = dom.sanitize(1, route.snapshot.queryParamMap.get('a'));
    this.fixed = dom.bypassSecurityTrustHtml('<b>a</b>');
  }
}
"""
    assert [(item.rule, item.line) for item in found(text, "typescript")] == [("xss", 4)]


def test_who_lets_everybody_in() -> None:
    text = "app.enableCors({ origin: (origin, done) => done(null, %s), credentials: true });\n"
    assert {item.rule for item in found(text % "origin", "typescript")} == {"any-origin"}
    assert not found(text % "ALLOWED.includes(origin)", "typescript")


def test_settings_in_a_variable() -> None:
    text = "import { Agent } from 'https';\nconst o = { rejectUnauthorized: %s };\nnew Agent(o);\n"
    assert [item.line for item in found(text % "false", "typescript")] == [3] and not found(text % "true", "typescript")
