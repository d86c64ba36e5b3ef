# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may ask the daemon over HTTP and what is refused; whoever holds it up holds up nobody else."""
import base64
import grp
import json
import os
import re
import select
import signal
import socket
import subprocess
import tempfile

import pytest

from conftest import wait_for
from daemonlib import RULE, attached, daemon, rounds, serve  # noqa: F401 (fixtures)
from test_page import Page, check_nobody_gains, web_processes


def test_nothing_without_the_token(serve):
    s = serve("")
    for path in ("/debug/pprof/", "/metrics", "/sd", "/healthz"):
        assert s.get(path, token=False)[0] == 401
    assert s.d.state.joinpath("token").stat().st_mode & 0o777 == 0o600
    assert s.d.state.joinpath("token").read_text().strip() == s.token


def raw(s, text):
    """Status of what is answered to this, 0: the connection was closed without a word."""
    host, port = s.address.split(":")
    with socket.create_connection((host, int(port)), timeout=180) as c:
        try:
            c.sendall(text)
            said = c.recv(4096)
        except (BrokenPipeError, ConnectionResetError):
            return 0
    return int(said.split()[1]) if said else 0


def test_who_else_is_refused(serve):
    """Wrong tokens, names and pages of others, tricks in paths, what is too large: with the token, too."""
    page = Page(serve("").d)
    for word in ("Bearer ", f"Bearer {page.token[:-1]}", f"Bearer {page.token}x", "Basic !", "Digest x",
                 "Basic " + base64.b64encode(f"memwatch:{page.token[::-1]}".encode()).decode(),
                 "Basic " + base64.b64encode(page.token.encode()).decode()):
        assert page.ask("/sd", auth=False, headers={"Authorization": word}).status == 401, word
    for headers in ({"Host": "evil.example"}, {"Host": f"127.0.0.1.evil.example:{page.port}"}, {"Origin": "https://evil.example"},
                    {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, {"Sec-Fetch-Site": "same-site"}):
        for path in ("/", "/sd", "/api/processes", "/debug/pprof/heap?pid=1"):
            assert page.ask(path, headers=headers).status == 403, (headers, path)
    for path in ("/p/1/../../etc/passwd", "/%2e%2e/etc/passwd", "//etc/passwd", "/p/1%00/debug/pprof/heap", "/p/..%2f/debug/pprof/heap",
                 "/p/1\\..\\x", "/debug/pprof/%0d%0aX:y"):
        assert page.ask(path).status in (400, 404), path
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH"):
        assert page.ask("/sd", method=method).status in (400, 405), method
    assert page.ask("/debug/pprof/symbol", method="POST", body=b"0x1+" * 20000).status == 413
    assert page.ask("/healthz").text == b"ok\n"


def test_names_of_this_server(serve):
    """Scrapers on other machines ask by the machine's name: those that are given, with or without a port."""
    page = Page(serve("hosts = node1 node1.example.com\n").d)
    for host, status in (("node1", 200), (f"node1:{page.port}", 200), ("NODE1.example.com", 200), ("localhost", 200),
                         ("node2", 403), ("node1.evil.example", 403), ("example.com", 403)):
        assert page.ask("/metrics", headers={"Host": host}).status == status, host
    assert page.ask("/metrics", headers={"Host": "node1", "Origin": "http://node1"}).status == 200
    assert page.ask("/metrics", headers={"Host": "node1", "Origin": "http://node2"}).status == 403
    assert page.ask("/metrics", auth=False, headers={"Host": "node1"}).status == 401


def test_a_socket_that_the_service_manager_opened(daemon):
    """listen = fd:3; a Unix socket needs no token, its mode says who may ask."""
    with tempfile.TemporaryDirectory() as where, socket.socket(socket.AF_UNIX) as s:
        s.bind(f"{where}/s")
        s.listen()
        d = daemon("listen = fd:3\n", pass_fds=(s.fileno(),),
                   wrap=["bash", "-c", f'exec 3<&{s.fileno()} "$@"', "bash"])
        d.wait_for(rf"listening on unix:{where}/s$")
        said = subprocess.run(["curl", "-sS", "--unix-socket", f"{where}/s", "http://localhost/healthz"],
                              capture_output=True, text=True, timeout=180)
        assert said.stdout == "ok\n", said.stderr
        assert d.finish(signal.SIGTERM)[0] == 0 and os.path.exists(f"{where}/s")  # it is not ours to remove
    with socket.create_server(("127.0.0.1", 0)) as s:
        d = daemon("listen = fd:3\n", pass_fds=(s.fileno(),), wrap=["bash", "-c", f'exec 3<&{s.fileno()} "$@"', "bash"])
        page = Page(d)
        assert page.ask("/healthz").text == b"ok\n" and page.ask("/healthz", auth=False).status == 401


@pytest.mark.parametrize("head", ["X-Long: " + "a" * 100000, "\r\n".join(f"X-{i}: {'a' * 90}" for i in range(1000))])
def test_a_head_that_is_too_large_is_refused(serve, head):
    s = serve("")
    text = f"GET /healthz HTTP/1.1\r\nHost: {s.address}\r\nAuthorization: Bearer {s.token}\r\n{head}\r\n\r\n"
    assert raw(s, text.encode()) in (0, 400, 413, 431)
    assert s.text("/healthz") == "ok\n"


def test_token_once_then_a_cookie(serve):
    page = Page(serve("").d)
    r = page.ask(f"/?token={page.token}", auth=False, headers={"Accept": "text/html"})
    cookie = r.getheader("Set-Cookie")
    assert r.status == 200 and "HttpOnly" in cookie and "SameSite=Strict" in cookie and page.token not in cookie
    assert r.getheader("Refresh") == "0; url=/" and page.token.encode() not in r.text
    kept = cookie.split(";")[0]
    assert page.ask("/sd", auth=False, headers={"Cookie": f"a=b; {kept}"}).status == 200
    for wrong in (kept[:-1], kept + "0", kept.split("=")[0] + "=" + page.token, "token=" + page.token):
        assert page.ask("/sd", auth=False, headers={"Cookie": wrong}).status == 401, wrong
    # a page of another site has the browser's cookie as little as its leave
    assert page.ask("/sd", auth=False, headers={"Cookie": kept, "Origin": "https://evil.example"}).status == 403


def test_more_connections_than_are_allowed(serve):
    """Those that say nothing are let go in time, and the passes go on meanwhile."""
    s = serve("")
    passes = lambda: int(float(re.search(r"^memwatch_passes_total (\S+)", s.text("/metrics"), re.M)[1]))
    host, port = s.address.split(":")
    before, idle = passes(), []
    for _ in range(300):
        c = socket.create_connection((host, int(port)), timeout=180)
        idle.append(c)
    _, worker = web_processes(s.d.proc.pid)
    assert len(os.listdir(f"/proc/{worker}/fd")) < 200
    wait_for(lambda: raw(s, f"GET /healthz HTTP/1.1\r\nHost: {s.address}\r\nAuthorization: Bearer {s.token}\r\n\r\n".encode()) == 200)
    assert passes() > before
    for c in idle:
        c.close()


def test_a_body_that_does_not_come_is_not_waited_for(serve):
    s = serve("")
    host, port = s.address.split(":")
    with socket.create_connection((host, int(port)), timeout=1) as c:
        c.sendall(f"POST /debug/pprof/symbol HTTP/1.1\r\nHost: {s.address}\r\nAuthorization: Bearer {s.token}\r\n"
                  "Content-Length: 60000\r\n\r\n".encode())
        assert s.text("/healthz") == "ok\n"

        def over():  # a byte now and then does not help it
            try:
                c.sendall(b"x")
                return not c.recv(4096)
            except TimeoutError:
                return False
            except OSError:
                return True
        wait_for(over)
    assert s.text("/healthz") == "ok\n"


def test_more_questions_than_may_wait(serve, rounds):
    """Windows of an hour, asked for by whoever does not wait for the answer to ask again."""
    t = rounds()
    s = serve("go = no\n" + RULE)
    attached(s.d, t.pid)
    host, port = s.address.split(":")
    ask = (f"GET /p/{t.pid}/debug/pprof/heap?seconds=3000 HTTP/1.1\r\nHost: {s.address}\r\n"
           f"Authorization: Bearer {s.token}\r\n\r\n").encode()
    waiting = []
    for _ in range(80):
        waiting.append(socket.create_connection((host, int(port)), timeout=180))
        waiting[-1].sendall(ask)

    def refused():
        return [c for c in select.select(waiting, [], [], 0)[0] if c.recv(4096, socket.MSG_PEEK).split()[1] == b"503"]
    wait_for(refused)
    for c in waiting:
        c.close()
    wait_for(lambda: s.get("/healthz")[0] == 200)
    assert len(json.loads(s.text("/sd"))) == 1


def test_who_speaks_http_holds_nothing(serve):
    s = serve("")
    assert s.text("/healthz") == "ok\n"
    check_nobody_gains(s.d, s.token)


@pytest.mark.parametrize("group", [None, "games"])
def test_a_unix_socket_is_root_s_and_the_group_s(daemon, group):
    """No token: who may open the socket may ask. That is root, and the group that the configuration names."""
    gid = grp.getgrnam("games").gr_gid
    with tempfile.TemporaryDirectory() as where:
        os.chmod(where, 0o755)
        path = f"{where}/memwatch.sock"
        d = daemon(f"listen = unix:{path}\n" + (f"group = {group}\n" if group else ""))
        st = os.stat(path)
        assert (st.st_mode & 0o777, st.st_gid) == ((0o660, gid) if group else (0o600, 0))

        def may(uid, groups):
            p = subprocess.run(["curl", "-sS", "--unix-socket", path, "http://localhost/healthz"], capture_output=True,
                               text=True, timeout=180, user=uid, group=uid, extra_groups=groups)
            assert p.returncode == 0 or "Couldn't connect" in p.stderr or "Permission denied" in p.stderr, p.stderr
            return p.stdout == "ok\n"
        assert may(0, []) and not may(12345, [])
        assert may(12345, [gid]) == bool(group)
        # names in Host mean nothing here, pages of other sites cannot get here
        assert "token" not in d.err.replace("tokens", "")
        assert d.finish(signal.SIGTERM)[0] == 0 and not os.path.exists(path)


def test_no_http_and_what_a_reload_cannot_change(daemon):
    d = daemon("listen = none\n")
    assert "listening" not in d.err
    d.conf.write_text("[daemon]\nlisten = 127.0.0.1:0\n")
    d.proc.send_signal(signal.SIGHUP)
    d.wait_for("listen, group, hosts: to change them takes a restart")
