"""Signed requests: oauthlib and npm's http-signature, unchanged, against the binary and the emulator; libcloud's Joyent driver
over TLS.

`tests/clients/run` starts the emulators and runs this.
"""

import http.server
import os
import pathlib
import shutil
import subprocess
import threading
import time
import tomllib
import unittest
import urllib.parse

import libcloud.security
import requests
from libcloud.common.types import InvalidCredsError
from libcloud.compute.drivers.joyent import JoyentNodeDriver
from libcloud.compute.types import NodeState
from oauthlib import oauth1
from oauthlib.oauth1.rfc5849 import signature as oauth_signature

BINARY = os.environ["DISKFERRY"]
ROOT = pathlib.Path(__file__).parents[2]
KEYS = ROOT / "testdata" / "keys"
PLAIN = tomllib.loads(pathlib.Path(os.environ["DISKFERRY_CONFIG"]).read_text())["remotes"]
SECURE = tomllib.loads(pathlib.Path(os.environ["SECURE_CONFIG"]).read_text())["remotes"]


class Recorder:
    """A server that writes down what it is sent."""

    def __enter__(self):
        self.sent = sent = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                named = {name.title(): value for name, value in self.headers.items()}
                sent.append((self.command, self.path, named, self.rfile.read(length).decode()))
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"[]")

            do_GET = do_POST = do_PUT = do_DELETE = answer

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def run(config, *args):
    """The binary with a configuration of its own."""
    path = pathlib.Path(os.environ["HOME"]) / "own.toml"
    path.touch(mode=0o600)
    path.write_text(config)
    environment = {"HOME": os.environ["HOME"], "DISKFERRY_CONFIG": str(path)}
    done = subprocess.run([BINARY, *args], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


class OAuth(unittest.TestCase):
    def test_oauthlib_verifies_what_the_binary_signs(self):
        with Recorder() as server:
            config = (
                f'[remotes.r]\nprovider = "spotcloud"\nurl = "{server.url}"\nconsumer_key = "con sumer"\n'
                'consumer_secret = "se&cret"\ntoken = "to+ken"\ntoken_secret = "s%20x"\n'
            )
            run(config, "call", "r:", "hardware.list", "city=São Paulo", "max_cost=0.5", "min_memory=1G")
            run(config, "call", "r:", "appliances.update", "k/1", "name=a & b+c=d ü")
            run(config, "call", "r:", "instances.delete", "k")
            sent = list(server.sent)
        self.assertEqual([s[0] for s in sent], ["GET", "PUT", "DELETE"])
        for method, path, headers, body in sent:
            right = self.verdict(method, server.url, path, headers, body)
            self.assertTrue(right, (method, path, headers, body))
            self.assertFalse(self.verdict(method, server.url, path + "x", headers, body))
            self.assertFalse(self.verdict("POST", server.url, path, headers, body))
            if body:
                self.assertFalse(self.verdict(method, server.url, path, headers, body + "x"))

    def verdict(self, method, url, path, headers, body):
        """What oauthlib makes of a request."""
        uri = url.rstrip("/") + path
        form = headers.get("Content-Type") == "application/x-www-form-urlencoded"
        params = oauth_signature.collect_parameters(
            uri_query=urllib.parse.urlsplit(uri).query,
            headers={"Authorization": headers["Authorization"]},
            body=body if form else "",
            exclude_oauth_signature=True,
        )
        base = oauth_signature.signature_base_string(
            method,
            oauth_signature.base_string_uri(uri),
            oauth_signature.normalize_parameters(params),
        )
        client = oauth1.Client("con sumer", client_secret="se&cret", resource_owner_key="to+ken",
                               resource_owner_secret="s%20x")
        right = oauth_signature.sign_hmac_sha1_with_client(base, client)
        given = dict(oauth1.rfc5849.utils.parse_authorization_header(headers["Authorization"]))
        return urllib.parse.unquote(given["oauth_signature"]) == right

    def session(self, **kwargs):
        remote = PLAIN["spotcloud"]
        return oauth1.Client(remote["consumer_key"], client_secret=remote["consumer_secret"], **kwargs)

    def ask(self, client, method, path, body=None, tamper=None):
        url = PLAIN["spotcloud"]["url"].rstrip("/") + path
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        url, headers, body = client.sign(url, http_method=method, body=body, headers=headers)
        if tamper:
            headers["Authorization"] = tamper(headers["Authorization"])
        return requests.request(method, url, headers=headers, data=body)

    def test_the_emulator_takes_what_oauthlib_signs_and_nothing_else(self):
        remote = PLAIN["spotcloud"]
        ready = {"resource_owner_key": remote["token"], "resource_owner_secret": remote["token_secret"]}
        client = self.session(**ready)
        found = self.ask(client, "GET", "/api/v1/buyer/hardware/list.json?city=S%C3%A3o%20Paulo&min_cpu=2")
        self.assertEqual([h["city"] for h in found.json()], ["São Paulo"] * 2)
        form = "appliance=public-tiny&hardware=h-tor1-s&provider=p-tor1"
        made = self.ask(client, "POST", "/api/v1/buyer/instances/list.json", form)
        self.assertEqual(made.status_code, 201, made.text)
        gone = self.ask(client, "DELETE", "/api/v1/buyer/instance/" + made.json()["key"])
        self.assertEqual(gone.status_code, 204)
        query = self.session(signature_type=oauth1.SIGNATURE_TYPE_QUERY, **ready)
        self.assertEqual(self.ask(query, "GET", "/api/v1/buyer/appliances/list.json").status_code, 200)
        wrong = self.session(resource_owner_key=remote["token"], resource_owner_secret="wrong")
        self.assertEqual(self.ask(wrong, "GET", "/api/v1/buyer/appliances/list.json").status_code, 401)
        for old, new in [('oauth_nonce="', 'oauth_nonce="x'), ('oauth_timestamp="', 'oauth_timestamp="1'),
                         ('oauth_signature="', 'oauth_signature="A')]:
            with self.subTest(old):
                tampered = self.ask(client, "GET", "/api/v1/buyer/appliances/list.json",
                                    tamper=lambda header: header.replace(old, new))
                self.assertEqual(tampered.status_code, 401)

    def test_a_request_is_answered_once(self):
        remote = PLAIN["spotcloud"]
        client = self.session(resource_owner_key=remote["token"], resource_owner_secret=remote["token_secret"])
        url, headers, _ = client.sign(remote["url"] + "api/v1/buyer/appliances/list.json")
        self.assertEqual([requests.get(url, headers=headers).status_code for _ in range(2)], [200, 401])

    def test_the_whole_dance(self):
        base = PLAIN["spotcloud"]["url"].rstrip("/")
        form = lambda reply: dict(urllib.parse.parse_qsl(reply.text))
        for callback, method in [("oob", "GET"), ("oob", "POST"), (None, "GET")]:
            asked = self.ask(self.session(callback_uri=callback), method, "/_ah/OAuthGetRequestToken")
            token = form(asked)
            self.assertEqual(token.get("oauth_callback_confirmed"), "true" if callback else None)
            page = requests.get(base + "/_ah/OAuthAuthorizeToken", params={"oauth_token": token["oauth_token"]})
            verifier = page.text.split('id="verifier">')[1].split("<")[0]
            owner = {"resource_owner_key": token["oauth_token"],
                     "resource_owner_secret": token["oauth_token_secret"]}
            if callback:
                refused = self.ask(self.session(verifier="wrong", **owner), "GET", "/_ah/OAuthGetAccessToken")
                self.assertEqual(refused.status_code, 401)
            client = self.session(verifier=verifier if callback else None, **owner)
            access = form(self.ask(client, method, "/_ah/OAuthGetAccessToken"))
            client = self.session(resource_owner_key=access["oauth_token"],
                                  resource_owner_secret=access["oauth_token_secret"])
            self.assertEqual(self.ask(client, "GET", "/api/v1/buyer/appliances/public.json").status_code, 200)


class HttpSignature(unittest.TestCase):
    def test_the_parser_of_its_time_takes_what_the_binary_signs(self):
        node, modules = shutil.which("node"), os.environ.get("NODE_PATH")
        if not node or not modules:
            self.skipTest("node or npm is not here")
        pem = pathlib.Path(os.environ["HOME"]) / "public.pem"
        subprocess.run(["openssl", "rsa", "-in", KEYS / "test-rsa.pem", "-pubout", "-out", pem], check=True,
                       capture_output=True)
        with Recorder() as server:
            config = (f'[remotes.r]\nprovider = "joyent"\nurl = "{server.url}"\naccount = "demo"\nkey_id = "foo"\n'
                      f'identity = "{KEYS / "test-rsa.pem"}"\n')
            run(config, "call", "r:", "machines.list")
            (_, _, headers, _), = server.sent
        verify = lambda authorization, date: subprocess.run(
            [node, pathlib.Path(__file__).with_name("verify.js"), pem, authorization, date], capture_output=True,
            text=True)
        taken = verify(headers["Authorization"], headers["Date"])
        self.assertEqual(taken.stdout.strip(), "/demo/keys/foo RSA-SHA256", taken.stderr)
        self.assertNotEqual(verify(headers["Authorization"], "Tue, 10 May 2011 05:15:30 GMT").returncode, 0)
        cut = headers["Authorization"]
        self.assertNotEqual(verify(cut[:-12] + "AAAA" + cut[-8:], headers["Date"]).returncode, 0)


class Joyent(unittest.TestCase):
    """libcloud's driver over TLS, with the certificate that `serve --tls` has made."""

    def connect(self, secret=None):
        remote = SECURE["joyent"]
        url = urllib.parse.urlsplit(remote["url"])
        libcloud.security.VERIFY_SSL_CERT = True
        libcloud.security.CA_CERTS_PATH = remote["ca_file"]
        driver = JoyentNodeDriver(remote["user"], secret or remote["secret"], host=url.hostname, port=url.port)
        # The driver puts a region's host there, whatever host= says.
        driver.connection.host = url.hostname
        return driver

    def wait(self, driver, node, state):
        for _ in range(100):
            if driver.ex_get_node(node.id).state == state:
                return
            time.sleep(0.1)
        self.fail(f"the machine does not become {state}")

    def test_a_wrong_password_is_refused(self):
        with self.assertRaisesRegex(InvalidCredsError, "InvalidCredentials"):
            self.connect("wrong").list_nodes()

    def test_the_life_of_a_machine(self):
        driver = self.connect()
        images, sizes = driver.list_images(), driver.list_sizes()
        image, = [i for i in images if i.extra["default"]]
        self.assertTrue(any(" " in size.name for size in sizes))
        node = driver.create_node(name="libcloud", size=sizes[-1], image=image)
        self.assertEqual(node.state, NodeState.PENDING)
        self.assertEqual([n.id for n in driver.list_nodes()], [node.id])
        self.wait(driver, node, NodeState.RUNNING)
        self.assertTrue(driver.reboot_node(node))
        self.wait(driver, node, NodeState.RUNNING)
        self.assertTrue(driver.stop_node(node))
        self.wait(driver, node, NodeState.TERMINATED)
        time.sleep(1.2)  # stopping and stopped are the same to the driver
        self.assertTrue(driver.start_node(node))
        self.wait(driver, node, NodeState.RUNNING)
        self.assertTrue(driver.ex_stop_node(node))
        time.sleep(1.5)
        self.assertTrue(driver.destroy_node(node))
        self.assertEqual(driver.list_nodes(), [])


if __name__ == "__main__":
    unittest.main()
