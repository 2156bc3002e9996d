"""Calls Daybook as a Python backend would: grpcio, its helper packages, and bytes made by hand.

Starts the binary itself (TEST_DAYBOOK, or target/debug/daybook) on an empty folder and a free
port, makes the stubs from proto/, and prints one PASS or FAIL line for each case.
"""

import base64
import datetime
import http.client
import importlib
import json
import os
import pathlib
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import uuid

import grpc
import grpc_tools
import h2.config
import h2.connection
import h2.events
import jwt
from google.api import field_behavior_pb2
from google.protobuf import descriptor_pool
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_status import rpc_status

ROOT = pathlib.Path(__file__).resolve().parents[3]
PASSWORD = "correct horse battery"
BOUND = 30  # seconds that anything may take
SERVICES = [
    "daybook.auth.v1.AuthService",
    "daybook.booking.v1.BookingService",
    "daybook.booking.v1.ScheduleService",
]


class Server:
    """The binary, running in a folder of its own."""

    def __init__(self, folder, *settings):
        binary = os.environ.get("TEST_DAYBOOK", str(ROOT / "target/debug/daybook"))
        # Nothing of the developer's own settings.
        env = {k: v for k, v in os.environ.items() if not k.startswith("DAYBOOK_")}
        self.log = open(pathlib.Path(folder) / "log", "w+")
        self.process = subprocess.Popen(
            [binary, "--listen", "127.0.0.1:0", "--log-format", "text", *settings],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        lines = queue.Queue()
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()
        first = lines.get(timeout=BOUND)
        if first is None:
            self.log.seek(0)
            raise RuntimeError("the server did not start: " + self.log.read())
        prefix = "Daybook listens on "
        assert first.startswith(prefix), first
        self.address = first.removeprefix(prefix).split(",")[0].strip()
        self.channel = grpc.insecure_channel(self.address)
        self._wait_until_serving()

    def _read(self, lines):
        for line in self.process.stdout:
            lines.put(line)
        lines.put(None)

    def _wait_until_serving(self):
        """Health's Watch tells the moment; nothing has to be asked again and again."""
        health = health_pb2_grpc.HealthStub(self.channel)
        watching = health.Watch(health_pb2.HealthCheckRequest(), timeout=BOUND)
        for answer in watching:
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                watching.cancel()
                return
        raise RuntimeError("the server is not serving")

    def stop(self):
        self.channel.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(BOUND)
        self.log.close()


def generate(folder):
    """Makes stubs of Daybook's own protos; Google's come from googleapis-common-protos."""
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    protos = sorted((ROOT / "proto/daybook").rglob("*.proto"))
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}", f"-I{well_known}"]
    command += [f"--python_out={folder}", f"--grpc_python_out={folder}", *map(str, protos)]
    subprocess.run(command, check=True)
    sys.path.insert(0, str(folder))
    names = ["auth.v1.auth", "auth.v1.error_reason", "booking.v1.booking", "booking.v1.schedule"]
    for name in names:
        # google.type is not yet in `google` when the stubs of another package were loaded first.
        importlib.import_module(f"daybook.{name}_pb2")
        importlib.import_module(f"daybook.{name}_pb2_grpc")


CASES = []


def case(function):
    CASES.append(function)
    return function


class Refused:
    """What a refused call said: `code`, the ErrorInfo as `info`, and the other details by type."""

    def __init__(self, error):
        self.code = error.code()
        self.text = error.details()
        status = rpc_status.from_call(error)
        assert status is not None, f"no details with {self.code}: {self.text}"
        self.details = {}
        for detail in status.details:
            name = detail.TypeName().removeprefix("google.rpc.")
            message = getattr(error_details_pb2, name)()
            assert detail.Unpack(message)
            self.details[name] = message
        self.info = self.details["ErrorInfo"]


def refused(code, reason, call, *args, **kwargs):
    try:
        answer = call(*args, timeout=BOUND, **kwargs)
    except grpc.RpcError as error:
        told = Refused(error)
        assert told.code == code, f"{told.code} {told.text}"
        assert told.info.domain == "daybook", told.info
        assert told.info.reason == reason, told.info
        assert told.text, "a refusal has a text"
        return told
    raise AssertionError(f"was not refused: {answer}")


def equal(left, right):
    assert left == right, f"{left!r} is not {right!r}"


class Client:
    """Stubs, two people who signed up, and what most cases start from."""

    def __init__(self, server):
        from daybook.auth.v1 import auth_pb2, auth_pb2_grpc
        from daybook.booking.v1 import (
            booking_pb2,
            booking_pb2_grpc,
            schedule_pb2,
            schedule_pb2_grpc,
        )
        from google.type import date_pb2

        self.server = server
        self.channel = server.channel
        self.a, self.b, self.s, self.date_pb2 = auth_pb2, booking_pb2, schedule_pb2, date_pb2
        self.auth = auth_pb2_grpc.AuthServiceStub(self.channel)
        self.booking = booking_pb2_grpc.BookingServiceStub(self.channel)
        self.schedule = schedule_pb2_grpc.ScheduleServiceStub(self.channel)
        self.provider, self.provider_token = self.join("ada", auth_pb2.ROLE_PROVIDER)
        self.customer, self.token = self.join("cleo", auth_pb2.ROLE_CUSTOMER)
        self.other, self.other_token = self.join("otto", auth_pb2.ROLE_CUSTOMER)

    def join(self, name, role):
        """Signs up and logs in."""
        request = self.a.SignUpRequest(
            display_name=name.title(),
            email=f"{name}@example.org",
            password=PASSWORD,
            role=role,
            time_zone="Europe/Berlin",
        )
        user = self.auth.SignUp(request, timeout=BOUND).user
        log_in = self.a.LogInRequest(email=f"{name.upper()}@Example.ORG", password=PASSWORD)
        answer = self.auth.LogIn(log_in, timeout=BOUND)
        equal(answer.user, user)
        return user, answer.access_token

    def bearer(self, token=None):
        return [("authorization", f"Bearer {token or self.token}")]

    def slots(self, first_day=1, days=14, **more):
        first = datetime.date.today() + datetime.timedelta(days=first_day)
        last = first + datetime.timedelta(days=days)
        request = self.b.GetAvailabilityRequest(
            provider=self.provider.provider,
            start_date=self.date(first),
            end_date=self.date(last),
            **more,
        )
        answer = self.booking.GetAvailability(request, metadata=self.bearer(), timeout=BOUND)
        equal(answer.time_zone, "Europe/Berlin")
        return list(answer.slots)

    def date(self, day):
        return self.date_pb2.Date(year=day.year, month=day.month, day=day.day)

    def request(self, slot, **more):
        return self.b.BookAppointmentRequest(
            provider=self.provider.provider,
            start_time=slot.start_time,
            end_time=slot.end_time,
            **more,
        )

    def book(self, slot, token=None, **more):
        return self.booking.BookAppointment(
            self.request(slot, **more), metadata=self.bearer(token), timeout=BOUND
        ).appointment

    def raw(self, path):
        """A method with bytes in and bytes out."""
        return self.channel.unary_unary(path)

    def post(self, path, body, *headers, content_type="application/grpc"):
        """One POST, byte by byte over HTTP/2: the status, and the headers with the trailers."""
        connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        connection.initiate_connection()
        start = [(":method", "POST"), (":path", path), (":scheme", "http")]
        start += [(":authority", self.server.address), ("content-type", content_type)]
        connection.send_headers(1, [*start, ("te", "trailers"), *headers])
        connection.send_data(1, body, end_stream=True)
        host, port = self.server.address.split(":")
        told = {}
        with socket.create_connection((host, int(port)), timeout=BOUND) as wire:
            wire.sendall(connection.data_to_send())
            while read := wire.recv(65536):
                for event in connection.receive_data(read):
                    told |= dict(getattr(event, "headers", None) or [])
                    if isinstance(event, h2.events.StreamEnded):
                        return int(told[":status"]), told
                    assert not isinstance(event, h2.events.StreamReset), f"reset: {event}"
                wire.sendall(connection.data_to_send())
        raise AssertionError(f"the connection ended: {told}")

    def post_http1(self, path, body, content_type):
        """One POST over HTTP/1.1."""
        wire = http.client.HTTPConnection(self.server.address, timeout=BOUND)
        wire.request("POST", path, body, {"content-type": content_type})
        answer = wire.getresponse()
        answer.read()
        wire.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}


def frame(message):
    return b"\0" + len(message).to_bytes(4, "big") + message


def reason(headers):
    """The reason in the details of a response read by hand."""
    encoded = headers["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(base64.b64decode(encoded + "=" * (-len(encoded) % 4)))
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    return info.reason


LOG_IN = "/daybook.auth.v1.AuthService/LogIn"
BOOK = "/daybook.booking.v1.BookingService/BookAppointment"


# The life of an appointment


@case
def accounts_are_as_asked(c):
    equal(c.provider.role, c.a.ROLE_PROVIDER)
    equal(c.provider.provider, c.provider.name.replace("users/", "providers/"))
    equal(c.customer.role, c.a.ROLE_CUSTOMER)
    equal(c.customer.provider, "")
    me = c.auth.GetMe(c.a.GetMeRequest(), metadata=c.bearer(), timeout=BOUND).user
    equal(me, c.customer)


@case
def providers_are_listed(c):
    request = c.s.ListProvidersRequest()
    answer = c.schedule.ListProviders(request, metadata=c.bearer(), timeout=BOUND)
    equal([p.name for p in answer.providers], [c.provider.provider])
    equal(answer.providers[0].display_name, "Ada")
    equal(answer.providers[0].time_zone, "Europe/Berlin")
    equal(answer.next_page_token, "")


@case
def a_booked_slot_is_gone_and_a_cancelled_one_is_back(c):
    before = c.slots()
    slot = before[0]
    equal(slot.end_time.seconds - slot.start_time.seconds, 30 * 60)
    booked = c.book(slot, note="first visit")
    equal(booked.state, c.b.Appointment.STATE_BOOKED)
    equal((booked.start_time, booked.end_time), (slot.start_time, slot.end_time))
    equal((booked.customer, booked.customer_display_name), (c.customer.name, "Cleo"))
    equal(booked.note, "first visit")
    assert slot not in c.slots()
    equal(len(c.slots()), len(before) - 1)

    request = c.b.GetAppointmentRequest(name=booked.name)
    for token in (c.token, c.provider_token):
        got = c.booking.GetAppointment(request, metadata=c.bearer(token), timeout=BOUND)
        equal(got.appointment, booked)

    request = c.b.CancelAppointmentRequest(name=booked.name, reason="ill", etag=booked.etag)
    cancelled = c.booking.CancelAppointment(request, metadata=c.bearer(), timeout=BOUND)
    equal(cancelled.appointment.state, c.b.Appointment.STATE_CANCELLED)
    equal(cancelled.appointment.cancel_reason, "ill")
    equal(c.slots(), before)
    told = refused(
        grpc.StatusCode.FAILED_PRECONDITION,
        "WRONG_STATE",
        c.booking.CancelAppointment,
        c.b.CancelAppointmentRequest(name=booked.name),
        metadata=c.bearer(),
    )
    equal(told.info.metadata["state"], "cancelled")


# Refusals, decoded by grpcio-status


@case
def a_taken_slot_is_aborted_with_slot_taken(c):
    slot = c.slots()[1]
    c.book(slot)
    request = c.request(slot)
    bearer = c.bearer(c.other_token)
    refused(
        grpc.StatusCode.ABORTED, "SLOT_TAKEN", c.booking.BookAppointment, request, metadata=bearer
    )


@case
def bad_input_names_all_fields_at_once(c):
    sign_up = c.a.SignUpRequest(
        email="nobody", password="short", time_zone="Mars/Olympus", request_id="again"
    )
    told = refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS", c.auth.SignUp, sign_up)
    violations = told.details["BadRequest"].field_violations
    fields = sorted(violation.field for violation in violations)
    wanted = ["display_name", "email", "password", "request_id", "role", "time_zone"]
    equal(fields, wanted)
    assert all(violation.description for violation in violations)

    request = c.b.BookAppointmentRequest(provider="ada", note="x" * 2001)
    told = refused(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_FIELDS",
        c.booking.BookAppointment,
        request,
        metadata=c.bearer(),
    )
    fields = sorted(violation.field for violation in told.details["BadRequest"].field_violations)
    equal(fields, ["end_time", "note", "provider", "start_time"])


@case
def what_does_not_exist_is_not_found_by_name(c):
    name = f"providers/{uuid.uuid4()}"
    told = refused(
        grpc.StatusCode.NOT_FOUND,
        "NOT_FOUND",
        c.schedule.GetProvider,
        c.s.GetProviderRequest(name=name),
        metadata=c.bearer(),
    )
    equal(told.details["ResourceInfo"].resource_name, name)


@case
def somebody_elses_appointment_looks_like_none(c):
    booked = c.book(c.slots()[2])
    missing = f"{c.provider.provider}/appointments/{uuid.uuid4()}"
    told = [
        refused(
            grpc.StatusCode.NOT_FOUND,
            "NOT_FOUND",
            c.booking.GetAppointment,
            c.b.GetAppointmentRequest(name=name),
            metadata=c.bearer(c.other_token),
        )
        for name in (booked.name, missing)
    ]
    equal(told[0].text.replace(booked.name, missing), told[1].text)
    names = [one.details["ResourceInfo"].resource_name for one in told]
    equal(names, [booked.name, missing])


@case
def outside_hours_is_a_failed_precondition(c):
    now = datetime.datetime.now(datetime.timezone.utc)
    night = (now + datetime.timedelta(days=2)).replace(hour=1, minute=0, second=0, microsecond=0)
    slot = c.slots()[0]
    slot.start_time.FromDatetime(night)
    slot.end_time.FromDatetime(night + datetime.timedelta(minutes=30))
    told = refused(
        grpc.StatusCode.FAILED_PRECONDITION,
        "OUTSIDE_HOURS",
        c.booking.BookAppointment,
        c.request(slot),
        metadata=c.bearer(),
    )
    equal([v.type for v in told.details["PreconditionFailure"].violations], ["OUTSIDE_HOURS"])


@case
def a_retry_with_the_same_request_id_answers_the_same_bytes(c):
    request = c.request(c.slots()[3], note="once", request_id=str(uuid.uuid4()))
    call = c.raw(BOOK)
    answers = [
        call(request.SerializeToString(), metadata=c.bearer(), timeout=BOUND) for _ in range(3)
    ]
    assert answers[0]
    equal(set(answers), {answers[0]})
    name = c.b.BookAppointmentResponse.FromString(answers[0]).appointment.name
    listed = c.booking.ListAppointments(
        c.b.ListAppointmentsRequest(), metadata=c.bearer(), timeout=BOUND
    )
    equal([a.name for a in listed.appointments if a.note == "once"], [name])
    request.note = "twice"
    refused(
        grpc.StatusCode.INVALID_ARGUMENT,
        "REQUEST_ID_REUSED",
        c.booking.BookAppointment,
        request,
        metadata=c.bearer(),
    )


@case
def without_a_token_nothing_is_told(c):
    for metadata in (None, [("authorization", "Bearer nonsense")], [("authorization", c.token)]):
        refused(
            grpc.StatusCode.UNAUTHENTICATED,
            "NOT_AUTHENTICATED",
            c.auth.GetMe,
            c.a.GetMeRequest(),
            metadata=metadata,
        )
    for email in ("ada@example.org", "nobody@example.org"):
        request = c.a.LogInRequest(email=email, password="not the password")
        refused(grpc.StatusCode.UNAUTHENTICATED, "LOG_IN_FAILED", c.auth.LogIn, request)


@case
def a_customer_may_not_do_an_admins_work(c):
    refused(
        grpc.StatusCode.PERMISSION_DENIED,
        "ROLE_NOT_ALLOWED",
        c.auth.ListUsers,
        c.a.ListUsersRequest(),
        metadata=c.bearer(),
    )


@case
def an_email_signs_up_once(c):
    request = c.a.SignUpRequest(
        display_name="Ada again",
        email="ADA@example.org",
        password=PASSWORD,
        role=c.a.ROLE_CUSTOMER,
        time_zone="UTC",
    )
    refused(grpc.StatusCode.ALREADY_EXISTS, "EMAIL_TAKEN", c.auth.SignUp, request)


# Health and reflection


@case
def health_knows_each_service(c):
    stub = health_pb2_grpc.HealthStub(c.channel)
    for name in ["", *SERVICES]:
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=BOUND)
        equal(answer.status, health_pb2.HealthCheckResponse.SERVING)
    try:
        stub.Check(health_pb2.HealthCheckRequest(service="daybook.Nope"), timeout=BOUND)
    except grpc.RpcError as error:
        equal(error.code(), grpc.StatusCode.NOT_FOUND)
    else:
        raise AssertionError("an unknown service has a health")


@case
def reflection_lists_the_services(c):
    database = ProtoReflectionDescriptorDatabase(c.channel)
    names = set(database.get_services())
    assert {*SERVICES, "grpc.health.v1.Health"} <= names, names


@case
def reflection_keeps_custom_options(c):
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(c.channel))
    email = pool.FindMessageTypeByName("daybook.auth.v1.SignUpRequest").fields_by_name["email"]
    behaviour = email.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    equal(list(behaviour), [field_behavior_pb2.REQUIRED])
    method = pool.FindServiceByName(SERVICES[0]).FindMethodByName("GetMe")
    equal(method.GetOptions().idempotency_level, 1)  # NO_SIDE_EFFECTS
    assert pool.FindMessageTypeByName("google.rpc.BadRequest"), "details can be decoded"


# The protocol


@case
def a_passed_deadline_is_told_by_the_server(c):
    # By hand: grpcio would tell DEADLINE_EXCEEDED without waiting for the server's word.
    body = frame(c.a.LogInRequest(email="ada@example.org", password=PASSWORD).SerializeToString())
    for allowed in ("1m", "8m", "5000u"):
        status, headers = c.post(LOG_IN, body, ("grpc-timeout", allowed))
        equal((status, headers.get("grpc-status")), (200, "4"))
        equal(reason(headers), "DEADLINE_EXCEEDED")
    status, headers = c.post(LOG_IN, body, ("grpc-timeout", "20S"))
    equal((status, headers.get("grpc-status")), (200, "0"))


@case
def a_malformed_timeout_is_refused(c):
    body = frame(c.a.LogInRequest(email="ada@example.org", password=PASSWORD).SerializeToString())
    for bad in ("banana", "1", "S", "123456789S", "-1S"):
        status, headers = c.post(LOG_IN, body, ("grpc-timeout", bad))
        equal((status, headers.get("grpc-status")), (200, "3"))
        equal(reason(headers), "MALFORMED_REQUEST")


@case
def a_deadline_set_by_grpcio_is_kept(c):
    request = c.a.LogInRequest(email="ada@example.org", password=PASSWORD)
    try:
        c.auth.LogIn(request, timeout=0.003)
    except grpc.RpcError as error:
        equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    else:
        raise AssertionError("a password was hashed within 3 ms")


@case
def a_message_that_is_too_large_is_refused(c):
    request = c.a.SignUpRequest(display_name="x" * 66_000)
    code = grpc.StatusCode.INVALID_ARGUMENT
    refused(code, "MESSAGE_TOO_LARGE", c.auth.SignUp, request)


@case
def a_token_is_checked_by_another_backend(c):
    """As docs/integrators.md shows it: with the public keys and an independent library."""
    answer = c.auth.GetJwks(c.a.GetJwksRequest(), timeout=BOUND)
    assert 0 < answer.max_age.seconds <= 28_800, answer.max_age
    equal(json.loads(answer.json)["keys"], [
        {name: getattr(key, name) for name in ("kty", "crv", "x", "kid", "use", "alg")}
        for key in answer.keys
    ])
    keys = jwt.PyJWKSet.from_json(answer.json)

    def check(token, keys=keys, audience="daybook", issuer="daybook"):
        header = jwt.get_unverified_header(token)
        known = {key.key_id for key in keys.keys}
        if header.get("typ") != "at+jwt" or header.get("kid") not in known:
            raise jwt.InvalidTokenError("not an access token, or of a key that is not known")
        return jwt.decode(
            token,
            keys[header["kid"]],
            algorithms=["EdDSA"],
            audience=audience,
            issuer=issuer,
            leeway=30,
            options={"require": ["exp", "iat", "iss", "aud", "sub"]},
        )

    equal(f"users/{check(c.token)['sub']}", c.customer.name)
    equal(check(c.token)["role"], "customer")
    head, body, signature = c.token.split(".")
    changed = json.loads(base64.urlsafe_b64decode(body + "=="))
    changed["role"] = "admin"
    changed = base64.urlsafe_b64encode(json.dumps(changed).encode()).rstrip(b"=").decode()
    # The key that will sign next has signed nothing yet.
    kid = jwt.get_unverified_header(c.token)["kid"]
    other = [{**key, "kid": kid} for key in json.loads(answer.json)["keys"] if key["kid"] != kid]
    equal(len(other), 1)
    for attempt in (
        lambda: check(f"{head}.{changed}.{signature}"),
        lambda: check(c.token, keys=jwt.PyJWKSet.from_dict({"keys": [{**other[0], "kid": "x"}]})),
        lambda: check(c.token, audience="elsewhere"),
        lambda: check(c.token, issuer="elsewhere"),
        lambda: check(c.token, keys=jwt.PyJWKSet.from_dict({"keys": other})),
    ):
        try:
            attempt()
        except jwt.InvalidTokenError:
            continue
        raise AssertionError("a token was accepted")


@case
def garbage_is_a_malformed_request(c):
    for garbage in (b"\xff\xff\xff\xff", b"\x0a\x7fshort", b"\x0a\x02\xff\xfe"):
        code = grpc.StatusCode.INVALID_ARGUMENT
        refused(code, "MALFORMED_REQUEST", c.raw(LOG_IN), garbage)


@case
def a_frame_that_lies_about_its_length_is_refused(c):
    for body in (b"", b"\0\0", b"\0\0\0\0\x09abc", b"\x07\0\0\0\0", b"\0\xff\xff\xff\xff"):
        status, headers = c.post(LOG_IN, body)
        equal((status, headers.get("grpc-status")), (200, "3"))
        assert reason(headers) in ("MALFORMED_REQUEST", "MESSAGE_TOO_LARGE"), headers


@case
def an_unknown_method_is_unimplemented(c):
    for path in ("/daybook.auth.v1.AuthService/Nope", "/nobody.Knows/This", LOG_IN.lower()):
        refused(grpc.StatusCode.UNIMPLEMENTED, "METHOD_UNKNOWN", c.raw(path), b"")


@case
def what_is_not_grpc_is_415(c):
    body = frame(c.a.LogInRequest(email="a@b.c", password="x").SerializeToString())
    for kind in ("text/plain", "application/json", "application/x-www-form-urlencoded"):
        answers = [c.post(LOG_IN, body, content_type=kind), c.post_http1(LOG_IN, body, kind)]
        for status, headers in answers:
            equal(status, 415)
            assert "grpc-status" not in headers


# Last, because it ends the server


@case
def a_watcher_sees_the_stop(c):
    stub = health_pb2_grpc.HealthStub(c.channel)
    watching = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICES[1]), timeout=BOUND)
    equal(next(watching).status, health_pb2.HealthCheckResponse.SERVING)
    began = time.monotonic()
    c.server.process.send_signal(signal.SIGTERM)
    try:
        for answer in watching:
            equal(answer.status, health_pb2.HealthCheckResponse.NOT_SERVING)
        raise AssertionError("the stream ended without a status")
    except grpc.RpcError as error:
        equal(error.code(), grpc.StatusCode.UNAVAILABLE)
    c.channel.close()
    equal(c.server.process.wait(BOUND), 0)
    assert time.monotonic() - began < 10, "an idle server stops at once"


def main():
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="daybook-python-") as folder:
        stubs = pathlib.Path(folder) / "stubs"
        stubs.mkdir()
        generate(stubs)
        server = Server(folder)
        try:
            client = Client(server)
            for test in CASES:
                try:
                    test(client)
                except Exception:
                    failed += 1
                    print(f"FAIL {test.__name__}")
                    traceback.print_exc(file=sys.stdout)
                else:
                    passed += 1
                    print(f"PASS {test.__name__}")
                sys.stdout.flush()
        finally:
            server.stop()
        if failed:
            print((pathlib.Path(folder) / "log").read_text()[-4000:])
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
