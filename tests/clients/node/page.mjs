// Runs in the browser: calls Daybook over gRPC-Web with @connectrpc/connect-web. browser.mjs bundles
// it, opens it from another origin, and judges what these functions return.

import { create } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { AuthService, Role } from "daybook/auth/v1/auth_pb.js";
import { Appointment_State, BookingService } from "daybook/booking/v1/booking_pb.js";
import { BadRequestSchema, ErrorInfoSchema } from "google/rpc/error_details_pb.js";
import { DateSchema } from "google/type/date_pb.js";

function refusal(thrown) {
  const error = ConnectError.from(thrown);
  const [info] = error.findDetails(ErrorInfoSchema);
  const [bad] = error.findDetails(BadRequestSchema);
  return {
    code: Code[error.code],
    text: error.rawMessage,
    domain: info?.domain,
    reason: info?.reason,
    fields: bad?.fieldViolations.map((violation) => violation.field).sort(),
  };
}

const refused = (promise) =>
  promise.then(
    () => ({ code: "was not refused" }),
    (error) => refusal(error),
  );

window.daybook = (baseUrl) => {
  const transport = createGrpcWebTransport({ baseUrl, defaultTimeoutMs: 20_000 });
  const accounts = createClient(AuthService, transport);
  const bookings = createClient(BookingService, transport);
  const bearer = (token) => ({ headers: { authorization: `Bearer ${token}` } });

  return {
    async join(displayName, password, asProvider) {
      const email = `${displayName}@example.org`.toLowerCase();
      const role = asProvider ? Role.PROVIDER : Role.CUSTOMER;
      const timeZone = "Asia/Kolkata";
      const { user } = await accounts.signUp({ displayName, email, password, role, timeZone });
      const { accessToken } = await accounts.logIn({ email, password });
      const me = await accounts.getMe({}, bearer(accessToken));
      return { token: accessToken, provider: user.provider, name: user.name, me: me.user.name };
    },

    async slots(token, provider, startDate, endDate) {
      const request = {
        provider,
        startDate: create(DateSchema, startDate),
        endDate: create(DateSchema, endDate),
      };
      const { slots } = await bookings.getAvailability(request, bearer(token));
      return slots.map((slot) => timestampDate(slot.startTime).toISOString());
    },

    async book(token, provider, start) {
      const appointment = await bookings.bookAppointment(this.slot(provider, start), bearer(token));
      const { name, state } = appointment.appointment;
      return { name, state: Appointment_State[state] };
    },

    slot(provider, start) {
      const seconds = BigInt(Date.parse(start) / 1000);
      return { provider, startTime: { seconds }, endTime: { seconds: seconds + 1800n } };
    },

    bookTaken(token, provider, start) {
      return refused(bookings.bookAppointment(this.slot(provider, start), bearer(token)));
    },

    signUpBadly() {
      return refused(accounts.signUp({ email: "nobody", password: "short" }));
    },

    withoutToken() {
      return refused(accounts.getMe({}));
    },

    tooLate(email, password) {
      return refused(accounts.logIn({ email, password }, { timeoutMs: 5 }));
    },

    async cancel(token, name) {
      const { appointment } = await bookings.cancelAppointment({ name }, bearer(token));
      return Appointment_State[appointment.state];
    },

    /** The response's header that names the call, which a page sees only where CORS exposes it. */
    async requestId(token) {
      let seen = null;
      const onHeader = (headers) => (seen = headers.get("x-request-id"));
      await accounts.getMe({}, { ...bearer(token), onHeader });
      return seen;
    },
  };
};
