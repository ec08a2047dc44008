"""Python: which distribution brings which import, where the two have different names; and names that are copied most.

Facts from the projects' own documentation. What is installed here is asked of its metadata instead.
"""

from __future__ import annotations

from typing import Final


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_IMPORTS: Final = """
PIL:pillow yaml:pyyaml cv2:opencv-python,opencv-python-headless,opencv-contrib-python,opencv-contrib-python-headless
sklearn:scikit-learn skimage:scikit-image bs4:beautifulsoup4 dateutil:python-dateutil dotenv:python-dotenv
Crypto:pycryptodome,pycrypto Cryptodome:pycryptodomex OpenSSL:pyopenssl jwt:pyjwt jose:python-jose git:gitpython
github:pygithub gitlab:python-gitlab magic:python-magic,file-magic serial:pyserial usb:pyusb zmq:pyzmq
MySQLdb:mysqlclient psycopg2:psycopg2-binary psycopg:psycopg-binary attr:attrs google.protobuf:protobuf
googleapiclient:google-api-python-client grpc:grpcio,grpcio-tools grpc_tools:grpcio-tools socks:pysocks
docx:python-docx pptx:python-pptx fitz:pymupdf telegram:python-telegram-bot discord:discord.py,discord-py
slugify:python-slugify,unicode-slugify Levenshtein:python-levenshtein multipart:python-multipart
pkg_resources:setuptools _distutils_hack:setuptools win32api:pywin32 win32con:pywin32 win32com:pywin32
pythoncom:pywin32 pywintypes:pywin32 wx:wxpython gi:pygobject cairo:pycairo ldap:python-ldap memcache:python-memcached
nmap:python-nmap rest_framework:djangorestframework corsheaders:django-cors-headers django_filters:django-filter
environ:django-environ debug_toolbar:django-debug-toolbar faiss:faiss-cpu,faiss-gpu
tensorflow:tensorflow-cpu,tensorflow-gpu,tf-nightly umap:umap-learn community:python-louvain igraph:python-igraph
mpl_toolkits:matplotlib pylab:matplotlib OpenGL:pyopengl Xlib:python-xlib solcx:py-solc-x binance:python-binance
Bio:biopython rdkit:rdkit-pypi openbabel:openbabel-wheel osgeo:gdal shapefile:pyshp cupy:cupy-cuda11x,cupy-cuda12x
nacl:pynacl kafka:kafka-python dns:dnspython airflow:apache-airflow dbt:dbt-core tlz:toolz absl:absl-py
markdown_it:markdown-it-py hydra:hydra-core pl_bolts:lightning-bolts speech_recognition:speechrecognition
decouple:python-decouple consul:python-consul jenkins:python-jenkins crontab:python-crontab apt:python-apt
dbus:dbus-python systemd:systemd-python gnupg:python-gnupg pam:python-pam _pytest:pytest xdist:pytest-xdist
graphql:graphql-core websocket:websocket-client socketio:python-socketio engineio:python-engineio
opentelemetry:opentelemetry-api,opentelemetry-sdk ffmpeg:ffmpeg-python pyximport:cython
yaml_env_tag:pyyaml-env-tag opentelemetry:opentelemetry-api,opentelemetry-sdk antlr4:antlr4-python3-runtime
cuda:cuda-python,cuda-bindings win32event:pywin32 win32service:pywin32 win32serviceutil:pywin32 win32evtlogutil:pywin32
win32pdh:pywin32 win32job:pywin32 grpc_health:grpcio-health-checking smbclient:smbprotocol
"""
NAMESPACES: Final = frozenset((
    "azure", "backports", "google", "jaraco", "nvidia", "repoze", "ruamel", "sphinxcontrib", "zope",
    "zc", "zodb", "plone", "odoo",
))  # fmt: skip
"""Folders that many distributions share: `google-cloud-storage` brings `google`, but `foo-bar` never brings `foo`."""
COPIED: Final[dict[str, tuple[str, ...]]] = {
    "pypi": _words("""
requests numpy pandas scipy matplotlib django flask fastapi pydantic sqlalchemy boto3 botocore urllib3 certifi
setuptools cryptography pytest tensorflow pytorch transformers scikit-learn sklearn beautifulsoup4 selenium
python-dateutil pyyaml pillow opencv-python aiohttp httpx jinja2 click celery redis psycopg2 pymongo paramiko
colorama tqdm rich openai anthropic langchain web3 discord lxml scrapy
    """),
    "npm": _words("""
react react-dom lodash express axios chalk commander moment webpack typescript eslint prettier jquery vue next
dotenv cross-env mongoose socket.io underscore async request bluebird uuid body-parser babel ethers web3
electron nodemon rimraf yargs
    """),
    "crates": _words("""
serde serde_json tokio rand regex clap anyhow thiserror reqwest hyper futures chrono log
    """),
    "rubygems": _words("""
rails rake bundler nokogiri sinatra devise puma rspec sidekiq activesupport faraday
    """),
    "nuget": _words("""
Newtonsoft.Json Serilog Dapper AutoMapper NUnit xunit Moq EntityFramework Polly
    """),
    "packagist": ("symfony/console", "laravel/framework", "guzzlehttp/guzzle", "monolog/monolog", "phpunit/phpunit"),
    "maven": (),
    "go": (),
}  # fmt: skip
"""Names whose look-alikes are made most. They only tell a typing error from an unknown name; they are not known."""


def _table() -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for item in _IMPORTS.split():
        module, _, distributions = item.partition(":")
        for name in distributions.split(","):
            found.setdefault(name.replace("_", "-").replace(".", "-").lower(), []).append(module)
    return {name: tuple(modules) for name, modules in found.items()}


BRINGS: Final[dict[str, tuple[str, ...]]] = _table()
"""Distribution, in the form of PEP 503 → the modules that it brings."""
