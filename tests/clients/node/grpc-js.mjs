// Calls Daybook as a Node backend would: @grpc/grpc-js with protos loaded at run time.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { join } from "node:path";

import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import protobuf from "protobufjs";

import { BOUND, PASSWORD, ROOT, dayAhead, folder, run, startServer } from "./server.mjs";

const protos = join(ROOT, "proto");
const definitions = loader.loadSync(
  ["daybook/auth/v1/auth.proto", "daybook/booking/v1/booking.proto", "daybook/booking/v1/schedule.proto"],
  { includeDirs: [protos], keepCase: true, longs: Number, enums: String, defaults: true },
);
const { auth, booking } = grpc.loadPackageDefinition(definitions).daybook;

// The details of a refusal, google.rpc.Status, are in a trailer that grpc-js leaves alone.
const details = new protobuf.Root();
details.resolvePath = (_, target) =>
  target.startsWith("google/protobuf/") ? null : join(protos, target);
details.loadSync(["google/rpc/status.proto", "google/rpc/error_details.proto"]);

function decode(error) {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  assert.ok(bytes, `no details: ${error.message}`);
  const status = details.lookupType("google.rpc.Status").decode(bytes);
  assert.equal(status.code, error.code);
  const told = {};
  for (const { type_url, typeUrl, value } of status.details) {
    const name = (typeUrl ?? type_url).split("/").pop();
    told[name.replace("google.rpc.", "")] = details.lookupType(name).decode(value);
  }
  return told;
}

function call(client, method, request, { token, ms = BOUND } = {}) {
  const metadata = new grpc.Metadata();
  if (token) metadata.set("authorization", `Bearer ${token}`);
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + ms;
    client[method](request, metadata, { deadline }, (error, answer) =>
      error ? reject(error) : resolve(answer),
    );
  });
}

async function refused(code, reason, promise) {
  const error = await promise.then(
    (answer) => assert.fail(`was not refused: ${JSON.stringify(answer)}`),
    (error) => error,
  );
  assert.equal(error.code, code, error.message);
  const told = decode(error);
  assert.equal(told.ErrorInfo.domain, "daybook");
  assert.equal(told.ErrorInfo.reason, reason);
  return told;
}

const { path, remove } = await folder();
const server = await startServer(path);
const credentials = grpc.credentials.createInsecure();
const accounts = new auth.v1.AuthService(server.address, credentials);
const schedules = new booking.v1.ScheduleService(server.address, credentials);
const bookings = new booking.v1.BookingService(server.address, credentials);

async function join_(name, role) {
  const email = `${name}@example.org`;
  const time_zone = "America/New_York";
  const request = { display_name: name, email, password: PASSWORD, role, time_zone };
  const { user } = await call(accounts, "SignUp", request);
  const answer = await call(accounts, "LogIn", { email, password: PASSWORD });
  assert.deepEqual(answer.user, user);
  return { user, token: answer.access_token };
}

let provider, customer, other, appointment;

async function slots() {
  const request = { provider: provider.user.provider, start_date: dayAhead(2), end_date: dayAhead(9) };
  return (await call(bookings, "GetAvailability", request, customer)).slots;
}

const cases = {
  async people_sign_up_and_log_in() {
    provider = await join_("ada", "ROLE_PROVIDER");
    customer = await join_("cleo", "ROLE_CUSTOMER");
    other = await join_("otto", "ROLE_CUSTOMER");
    assert.equal(customer.user.role, "ROLE_CUSTOMER");
    const { providers } = await call(schedules, "ListProviders", {}, customer);
    assert.deepEqual(providers.map((one) => one.name), [provider.user.provider]);
  },

  async a_slot_is_booked_and_gone() {
    const before = await slots();
    const request = { provider: provider.user.provider, ...before[0], note: "Grüße" };
    ({ appointment } = await call(bookings, "BookAppointment", request, customer));
    assert.equal(appointment.state, "STATE_BOOKED");
    assert.equal(appointment.note, "Grüße");
    assert.deepEqual(await slots(), before.slice(1));
  },

  async a_taken_slot_is_refused_with_details() {
    const { start_time, end_time } = appointment;
    const request = { provider: provider.user.provider, start_time, end_time };
    const promise = call(bookings, "BookAppointment", request, other);
    await refused(grpc.status.ABORTED, "SLOT_TAKEN", promise);
  },

  async bad_fields_are_all_named() {
    const promise = call(accounts, "SignUp", { email: "nobody", password: "short" });
    const told = await refused(grpc.status.INVALID_ARGUMENT, "INVALID_FIELDS", promise);
    const violations = told.BadRequest.field_violations ?? told.BadRequest.fieldViolations;
    const fields = violations.map((violation) => violation.field).sort();
    assert.deepEqual(fields, ["display_name", "email", "password", "role", "time_zone"]);
  },

  async a_retry_has_one_effect() {
    const [slot] = await slots();
    const request = { provider: provider.user.provider, ...slot, request_id: randomUUID() };
    const [first, second] = await Promise.all([
      call(bookings, "BookAppointment", request, customer),
      call(bookings, "BookAppointment", request, customer),
    ]);
    assert.deepEqual(first, second);
  },

  async a_cancelled_slot_is_back() {
    const before = await slots();
    await call(bookings, "CancelAppointment", { name: appointment.name }, customer);
    assert.equal((await slots()).length, before.length + 1);
  },

  async without_a_token_a_call_is_refused() {
    const promise = call(accounts, "GetMe", {});
    await refused(grpc.status.UNAUTHENTICATED, "NOT_AUTHENTICATED", promise);
  },

  async a_deadline_is_kept() {
    const request = { email: "cleo@example.org", password: PASSWORD };
    const error = await call(accounts, "LogIn", request, { ms: 5 }).catch((error) => error);
    assert.equal(error.code, grpc.status.DEADLINE_EXCEEDED);
  },

  // The server answers these before it has read the request; no answer may be lost to that.
  async early_refusals_always_arrive() {
    const unknown = new grpc.Client(server.address, credentials);
    const bytes = (value) => value;
    const path = "/daybook.booking.v1.BookingService/Nope";
    const message = Buffer.alloc(60_000);
    const ask = () =>
      new Promise((resolve, reject) => {
        const deadline = Date.now() + BOUND;
        unknown.makeUnaryRequest(path, bytes, bytes, message, { deadline }, (error, answer) =>
          error ? reject(error) : resolve(answer),
        );
      });
    for (let round = 0; round < 20; round += 1) {
      const all = Array.from({ length: 10 }, () =>
        refused(grpc.status.UNIMPLEMENTED, "METHOD_UNKNOWN", ask()),
      );
      await Promise.all(all);
    }
    unknown.close();
  },
};

try {
  await run(cases, join(path, "log"));
} finally {
  for (const client of [accounts, schedules, bookings]) client.close();
  await server.stop();
  await remove();
}
