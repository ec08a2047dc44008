"""The tasks of the suite `security`, in order. They were written for buril and are in no other benchmark."""

from __future__ import annotations

from buril.evaluate.suites._security_files import FILES
from buril.evaluate.suites._security_injection import INJECTION
from buril.evaluate.suites._security_limits import LIMITED
from buril.evaluate.suites._security_output import OUTPUT
from buril.evaluate.suites._security_secrets import SECRETS
from buril.evaluate.suites._security_task import Task
from buril.evaluate.suites._security_web import WEB

TASKS: tuple[Task, ...] = (*FILES, *INJECTION, *OUTPUT, *SECRETS, *WEB, *LIMITED)
