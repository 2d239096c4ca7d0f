"""What chat and alert services really refuse, written from the vendors' documents (named beside each), for `http_sink`.

None of these is a recording of the real service.
"""

from __future__ import annotations

import base64
import html.parser
import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from notifiers import sinks
from notifiers.sinks import Answer, Request

_JSON = {"Content-Type": "application/json"}


def _utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _said(status: int, body: object, **headers: str) -> Answer:
    return status, _JSON | headers, json.dumps(body).encode()


def _is_json(request: Request) -> bool:
    return request.method in ("POST", "PATCH") and request.headers.get("content-type", "").startswith(
        "application/json"
    )


def _web_address(text: object) -> bool:
    return isinstance(text, str) and urlsplit(text).scheme in ("http", "https") and bool(urlsplit(text).netloc)


# Telegram: https://core.telegram.org/bots/api#sendmessage, #editmessagetext, #html-style, #making-requests


class _Html(html.parser.HTMLParser):
    """Telegram's HTML: few tags, each closed; &lt; &gt; &amp; &quot; and numbers are the only entities."""

    ALLOWED = frozenset(("b", "strong", "i", "em", "u", "s", "a", "code", "pre", "tg-spoiler", "blockquote"))

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.shown, self.open, self.bad = "", list[str](), ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        if tag not in self.ALLOWED:
            self.bad = f'Unsupported start tag "{tag}"'

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.bad = f'Unexpected end tag "{tag}"'

    def handle_data(self, data: str) -> None:
        self.shown += data
        if "<" in data or "&" in data:
            self.bad = "text that is not escaped"

    def handle_entityref(self, name: str) -> None:
        self.shown += "x"
        if name not in ("lt", "gt", "amp", "quot"):
            self.bad = f"entity {name}"

    def handle_charref(self, name: str) -> None:
        self.shown += "x"

    def handle_comment(self, data: str) -> None:
        self.bad = "a comment"

    def handle_decl(self, decl: str) -> None:
        self.bad = "a declaration"

    def handle_pi(self, data: str) -> None:
        self.bad = "an instruction"


def _telegram_text(said: dict[str, Any]) -> str:
    """Why the text is refused, or nothing."""
    text = said.get("text")
    if not isinstance(text, str) or said.get("parse_mode") != "HTML":
        return "message text is empty"
    read = _Html()
    read.feed(text)
    read.close()
    if read.bad or read.open:
        return f"can't parse entities: {read.bad or read.open}"
    if not read.shown.strip():
        return "message text is empty"
    return "message is too long" if _utf16(read.shown) > 4096 else ""


@dataclass
class Telegram:
    """A bot's server: sends and edits messages of one chat, and knows them by number."""

    token: str = "123:abc"
    chat: int | str = -100123
    messages: dict[int, str] = field(default_factory=dict[int, str])

    def __call__(self, request: Request) -> Answer:
        found = re.fullmatch(r"/bot([^/]+)/(sendMessage|editMessageText)", request.path)
        if found is None:
            return self.refuse(404, "Not Found")
        if found[1] != self.token:
            return self.refuse(401, "Unauthorized")
        said = request.json
        if not _is_json(request) or str(said.get("chat_id")) != str(self.chat):
            return self.refuse(400, "Bad Request: chat not found")
        if why := _telegram_text(said):
            return self.refuse(400, f"Bad Request: {why}")
        number = len(self.messages) + 1
        if found[2] == "editMessageText":
            number = said.get("message_id")
            if not isinstance(number, int) or number not in self.messages:
                return self.refuse(400, "Bad Request: message to edit not found")
            if self.messages[number] == said["text"]:
                return self.refuse(
                    400, "Bad Request: message is not modified: specified new message content is the same"
                )
        self.messages[number] = said["text"]
        return _said(200, {"ok": True, "result": {"message_id": number, "chat": {"id": self.chat}, "text": "…"}})

    @staticmethod
    def refuse(status: int, why: str) -> Answer:
        return _said(status, {"ok": False, "error_code": status, "description": why})


# Teams: https://learn.microsoft.com/connectors/teams ("approximately 28 KB"), and the card's schema at
# https://adaptivecards.io/explorer (RichTextBlock 1.2, TextRun: "Markdown is not supported", Action.OpenUrl)


def teams(request: Request) -> Answer:
    """A workflow that posts cards: 202, 400, or 413."""
    if not _is_json(request):
        return 415, {}, b""
    if len(request.body) > 28 * 1024:
        return 413, {}, b"Request Entity too large"
    said = request.json
    if said.get("type") != "message" or len(said.get("attachments", [])) != 1:
        return _said(400, {"error": {"code": "TriggerInputSchemaMismatch"}})
    (attachment,) = said["attachments"]
    card = attachment["content"]
    fine = attachment["contentType"] == "application/vnd.microsoft.card.adaptive" and card["type"] == "AdaptiveCard"
    fine = fine and card["version"] in ("1.0", "1.2", "1.3", "1.4", "1.5") and bool(card["body"])
    for block in card["body"]:
        fine = fine and block["type"] == "RichTextBlock" and bool(block["inlines"])
        for run in block["inlines"]:
            fine = fine and run["type"] == "TextRun" and isinstance(run["text"], str) and run["text"].strip() != ""
            fine = fine and set(run) <= {"type", "text", "size", "weight", "color", "isSubtle"}
            fine = fine and run.get("color", "Default") in ("Default", "Good", "Warning", "Attention", "Accent")
    for action in card.get("actions", []):
        fine = fine and action["type"] == "Action.OpenUrl" and _web_address(action["url"]) and bool(action["title"])
    return (202, {}, b"") if fine else _said(400, {"error": {"code": "InvalidBotAdaptiveCard"}})


# PagerDuty: https://developer.pagerduty.com/docs/events-api-v2-overview and /send-alert-event


@dataclass
class PagerDuty:
    """Events API v2: keeps which alerts are triggered, acknowledged or resolved by their dedup_key."""

    key: str = "0123456789abcdef0123456789abcdef"
    alerts: dict[str, str] = field(default_factory=dict[str, str])

    def __call__(self, request: Request) -> Answer:
        if request.path != "/v2/enqueue" or not _is_json(request):
            return _said(404, {"status": "not found"})
        if len(request.body) > 512 * 1024:
            return _said(413, {"status": "event too large"})
        wrong = self.wrong(request.json)
        if wrong:
            return _said(400, {"status": "invalid event", "message": "Event object is invalid", "errors": wrong})
        said = request.json
        action, dedup = said["event_action"], said["dedup_key"]
        if action == "trigger" or self.alerts.get(dedup) in ("trigger", "acknowledge"):
            self.alerts[dedup] = action
        return _said(202, {"status": "success", "message": "Event processed", "dedup_key": dedup})

    def wrong(self, said: dict[str, Any]) -> list[str]:
        if said.get("routing_key") != self.key:
            return ["'routing_key' is missing or blank"]
        if said.get("event_action") not in ("trigger", "acknowledge", "resolve"):
            return ["'event_action' is unknown"]
        if not 1 <= len(said.get("dedup_key", "")) <= 255:
            return ["'dedup_key' is missing, or longer than 255"]
        if said["event_action"] != "trigger":
            return []
        payload = said.get("payload", {})
        errors = [
            f"'{name}' is missing or blank" for name in ("summary", "source", "severity") if not payload.get(name)
        ]
        if errors:
            return errors
        if len(payload["summary"]) > 1024:
            errors.append("'summary' exceeds 1024 characters")
        if payload["severity"] not in ("critical", "error", "warning", "info"):
            errors.append("'severity' is invalid")
        datetime.fromisoformat(payload["timestamp"])
        if not all(_web_address(link["href"]) for link in said.get("links", [])):
            errors.append("'links' are invalid")
        return errors


# Opsgenie: https://docs.opsgenie.com/docs/alert-api (limits beside each field of "Create Alert"; close, add note)


@dataclass
class Opsgenie:
    """The Alert API: what is open by its alias, how often it was created, and its notes."""

    key: str = "g3nie-k3y"
    open: dict[str, int] = field(default_factory=dict[str, int])
    notes: list[str] = field(default_factory=list[str])
    priorities: list[str] = field(default_factory=list[str])

    def __call__(self, request: Request) -> Answer:
        if request.headers.get("authorization") != f"GenieKey {self.key}":
            return _said(401, {"message": "Could not authenticate", "took": 0.001, "requestId": "r"})
        found = re.fullmatch(r"/v2/alerts(?:/([^/?]+)/(close|notes)\?identifierType=alias)?", request.path)
        if found is None or not _is_json(request):
            return _said(404, {"message": "Request not found"})
        said = request.json
        if len(said.get("note", "")) > 25_000 or len(said.get("source", "")) > 100:
            return self.invalid("note or source is too long")
        if found[2] == "close":
            self.open.pop(found[1], None)
        elif found[2] == "notes":
            if not said.get("note"):
                return self.invalid("note must not be empty")
            self.notes.append(said["note"])
        elif why := self.wrong(said):
            return self.invalid(why)
        else:
            self.open[said["alias"]] = self.open.get(said["alias"], 0) + 1
            self.priorities.append(said["priority"])
        return _said(202, {"result": "Request will be processed", "took": 0.003, "requestId": "43a29c5c"})

    @staticmethod
    def wrong(said: dict[str, Any]) -> str:
        limits = {"message": 130, "alias": 512, "description": 15_000, "entity": 512, "source": 100}
        for name, limit in limits.items():
            if len(said.get(name, "")) > limit:
                return f"{name} is longer than {limit}"
        if not said.get("message"):
            return "message must not be empty"
        if len(said["tags"]) > 20 or any(not 1 <= len(tag) <= 50 for tag in said["tags"]):
            return "tags"
        if sum(len(k) + len(v) for k, v in said["details"].items()) > 8000:
            return "details are longer than 8000"
        return "" if said["priority"] in ("P1", "P2", "P3", "P4", "P5") else "priority"

    @staticmethod
    def invalid(why: str) -> Answer:
        return _said(422, {"message": "Request body is not processable", "errors": {"body": why}})


# ntfy: https://docs.ntfy.sh/publish/#publish-as-json, #message-priority, #limitations (message of 4,096 bytes), and the
# server's own pattern of a topic


def ntfy(request: Request) -> Answer:
    """Publishing as JSON at the server's root."""
    if request.path != "/" or request.method != "POST":
        return _said(404, {"code": 40401, "http": 404, "error": "page not found"})
    if request.headers.get("authorization", "Bearer tk_right") != "Bearer tk_right":
        return _said(401, {"code": 40101, "http": 401, "error": "unauthorized"})
    said = request.json
    if not re.fullmatch(r"[-_A-Za-z0-9]{1,64}", said.get("topic", "")):
        return _said(400, {"code": 40009, "http": 400, "error": "invalid request: topic invalid"})
    if len(said["message"].encode()) > 4096:
        return _said(400, {"code": 40014, "http": 400, "error": "invalid request: attachments not allowed"})
    fine = isinstance(said["title"], str) and said["priority"] in (1, 2, 3, 4, 5)
    fine = fine and all(isinstance(tag, str) for tag in said["tags"]) and _web_address(said.get("click", "http://x"))
    fine = fine and set(said) <= {"topic", "message", "title", "tags", "priority", "click", "actions", "markdown"}
    if not fine:
        return _said(400, {"code": 40024, "http": 400, "error": "invalid request: request body must be valid JSON"})
    return _said(200, {"id": "sPs71M8A2T", "time": 1, "event": "message", "topic": said["topic"], "message": "…"})


# Twilio: https://www.twilio.com/docs/messaging/api/message-resource, errors 21617 (1,600 characters, and what lies outside
# GSM-7 counts for more), 21211 (To), 21606 (From), 20003 (who)


@dataclass
class Twilio:
    """The Messages resource of one account: form data in, JSON out."""

    sid: str = "AC0123456789abcdef0123456789abcdef"
    token: str = "t0ken"
    texts: list[str] = field(default_factory=list[str])

    def __call__(self, request: Request) -> Answer:
        known = base64.b64encode(f"{self.sid}:{self.token}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {known}":
            return self.refuse(401, 20003, "Authenticate")
        if request.path != f"/2010-04-01/Accounts/{self.sid}/Messages.json":
            return self.refuse(404, 20404, "The requested resource was not found")
        if request.headers["content-type"] != "application/x-www-form-urlencoded":
            return self.refuse(400, 21602, "Message body is required.")
        said = {name: values[0] for name, values in parse_qs(request.body.decode("ascii"), strict_parsing=True).items()}
        if not re.fullmatch(r"\+[1-9]\d{1,14}", said.get("To", "")):
            return self.refuse(400, 21211, "The 'To' number is not a valid phone number.")
        if "From" not in said and not re.fullmatch(r"MG[0-9a-f]{32}", said.get("MessagingServiceSid", "")):
            return self.refuse(400, 21603, "A 'From' phone number is required.")
        text = said.get("Body", "")
        if not text or _utf16(text) > 1600:
            return self.refuse(400, 21617, "The concatenated message body exceeds the 1600 character limit.")
        self.texts.append(text)
        return _said(201, {"sid": "SM" + "0" * 32, "status": "queued", "error_code": None})

    @staticmethod
    def refuse(status: int, code: int, why: str) -> Answer:
        return _said(
            status, {"code": code, "message": why, "status": status, "more_info": "https://www.twilio.com/docs"}
        )


# Alertmanager: https://prometheus.io/docs/alerting/latest/alerts_api, and api/v2/openapi.yaml of its repository


@dataclass
class Alertmanager:
    """API v2: alerts by their labels, from when to when they fire."""

    alerts: dict[tuple[tuple[str, str], ...], tuple[datetime, datetime]] = field(default_factory=dict[Any, Any])

    def __call__(self, request: Request) -> Answer:
        if request.path != "/api/v2/alerts" or not _is_json(request):
            return 404, {}, b"404 page not found\n"
        for alert in request.json:
            starts, ends = datetime.fromisoformat(alert["startsAt"]), datetime.fromisoformat(alert["endsAt"])
            fine = bool(alert["labels"].get("alertname")) and starts <= ends
            for name, value in (alert["labels"] | alert["annotations"]).items():
                fine = fine and re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name) is not None and isinstance(value, str)
            fine = fine and all(alert["labels"].values()) and _web_address(alert.get("generatorURL", "http://x"))
            if not fine:
                return _said(400, "invalid label set, or end before start")
            self.alerts[tuple(sorted(alert["labels"].items()))] = (starts, ends)
        return 200, {}, b""


# Discord: https://discord.com/developers/docs/resources/webhook#execute-webhook (wait) and #edit-webhook-message


@dataclass
class Discord:
    """A webhook that keeps its messages; what it takes is what `sinks.discord` takes."""

    messages: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    def __call__(self, request: Request) -> Answer:
        address = urlsplit(request.path)
        query = parse_qs(address.query)
        answer = sinks.discord(request)
        if answer[0] != 204:
            return answer
        found = re.fullmatch(r"/services/T0/B0/secret-token(?:/messages/(\d+))?", address.path)
        if found is None:
            return _said(404, {"message": "Unknown Webhook", "code": 10015})
        number = found[1] or str(1_000_000_000_000_000_000 + len(self.messages))
        if request.method == "PATCH" and number not in self.messages:
            return _said(404, {"message": "Unknown Message", "code": 10008})
        if (request.method == "POST") == bool(found[1]) or set(query) - {"wait", "thread_id"}:
            return _said(405, {"message": "405: Method Not Allowed", "code": 0})
        self.messages[number] = request.json
        if request.method == "POST" and query.get("wait") != ["true"]:
            return 204, {}, b""
        return _said(200, {"id": number, "channel_id": "1", "content": "", "embeds": request.json["embeds"]})


# Slack: https://docs.slack.dev/reference/methods/chat.postMessage and /chat.update


@dataclass
class SlackBot:
    """Slack's Web API for one bot in one channel: HTTP 200, and ok or one word. The message is judged by `sinks.slack`."""

    token: str = "xoxb-right"
    channel: str = "C0123ABCD"
    name: str = "#ops"
    messages: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    def __call__(self, request: Request) -> Answer:
        method = request.path.removeprefix("/api/")
        if method not in ("chat.postMessage", "chat.update"):
            return self.refuse("unknown_method")
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return self.refuse("invalid_auth")
        said = request.json
        update = method == "chat.update"
        if said.get("channel") not in ((self.channel,) if update else (self.channel, self.name)):
            return self.refuse("channel_not_found")
        status, _, word = sinks.slack(request)
        if status != 200:
            return self.refuse(word.decode())
        stamp = said["ts"] if update else f"15034359{len(self.messages):02}.000247"
        if update and stamp not in self.messages:
            return self.refuse("message_not_found")
        self.messages[stamp] = said
        return _said(200, {"ok": True, "channel": self.channel, "ts": stamp, "text": said["text"]})

    @staticmethod
    def refuse(word: str) -> Answer:
        return _said(200, {"ok": False, "error": word})
