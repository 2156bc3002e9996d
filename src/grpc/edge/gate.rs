//! The gate: what every call goes through before anything else looks at it.
//!
//! In this order: an id for the call, where it comes from, the method's entry of the policy table, the
//! deadline, the request's body, a place under the concurrency limits, and a net under panics. tonic's own answers that
//! callers cannot use (a malformed message as INTERNAL with decoder text, an expired deadline as CANCELLED) are
//! put right here.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use ipnet::IpNet;
use tokio::time::Instant as Moment;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tracing::Instrument;

use super::{
    address::{ClientAddress, client_address},
    body::Bounded,
    concurrency::{ConcurrencyLimiter, Place},
    connection_service::Ends,
    request_body::{IN_TIME, Receiver},
    unread_responses::{Reader, UnreadResponses},
};
use crate::grpc::{
    policy::{self, Access, Class, Entry},
    status::status,
};
use crate::{
    kernel::{
        ambient::Ambient,
        call_counter::CallCounter,
        fault::{Fault, Reason},
    },
    storage::Deadline,
};

/// The header with the id of a call; taken from the caller where it is short and plain.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// In the headers of refusals only; of answers it comes after the body.
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Clients arm a timer of their own for `grpc-timeout`, and tell less when it runs out. The answer is to be
/// there before.
const AHEAD: Duration = Duration::from_millis(2);

/// No stream lasts longer; clients connect again.
const LONGEST_STREAM: Duration = Duration::from_hours(1);

/// The id of a call, among the extensions of the request.
#[derive(Debug, Clone)]
pub(in crate::grpc) struct CallId(pub(in crate::grpc) HeaderValue);

/// What the gate needs to know.
#[derive(Debug, Clone)]
pub(in crate::grpc) struct Gate {
    pub(in crate::grpc) ambient: Ambient,
    pub(in crate::grpc) default_deadline: Duration,
    pub(in crate::grpc) max_deadline: Duration,
    pub(in crate::grpc) receiver: Receiver,
    pub(in crate::grpc) concurrency: ConcurrencyLimiter,
    pub(in crate::grpc) unread: UnreadResponses,
    pub(in crate::grpc) demand: CallCounter,
    pub(in crate::grpc) trusted_proxies: Arc<[IpNet]>,
    pub(in crate::grpc) stopping: CancellationToken,
}

/// Lets a call through, or answers it.
pub(in crate::grpc) async fn gate(
    State(gate): State<Gate>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Moment::now();
    let id = request_id(request.headers()).unwrap_or_else(|| gate.new_id());
    let path = request.uri().path().to_owned();
    let span = tracing::info_span!("call", method = %path, id = %id.to_str().unwrap_or_default());
    request.extensions_mut().insert(CallId(id.clone()));
    let mut response = async {
        let response = match gate.pass(&mut request, &path, began).await {
            Ok(pass) => {
                let is_demand = pass.is_demand;
                let response = pass.run(request, next).await;
                // Refusals are none.
                if is_demand && !response.headers().contains_key(GRPC_STATUS) {
                    gate.demand.note();
                }
                response
            }
            Err(fault) => refuse(&fault),
        };
        let response = put_right(response, gate.receiver.longest());
        note(&response, began);
        response
    }
    .instrument(span)
    .await;
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

struct Pass {
    deadline: Deadline,
    is_stream: bool,
    /// Whether hashing gives way to it, if it is answered.
    is_demand: bool,
    bounds: Moment,
    stopping: CancellationToken,
    leaving: CancellationToken,
    place: Option<Place>,
    reader: Reader,
    unread: UnreadResponses,
}

impl Gate {
    async fn pass(&self, request: &mut Request, path: &str, began: Moment) -> Result<Pass, Fault> {
        if let Some(address) =
            client_address(request.extensions(), request.headers(), &self.trusted_proxies)
        {
            request.extensions_mut().insert(address);
        }
        let unknown = || {
            Fault::new(Reason::MethodUnknown, "there is no such method; see the API's reference")
        };
        let entry = *policy::entry(path).ok_or_else(unknown)?;
        let Entry { access, class, is_stream, .. } = entry;
        let asked = timeout(request.headers())?;
        let allowed = asked.unwrap_or(self.default_deadline).min(self.max_deadline);
        let deadline = Deadline(began + allowed.saturating_sub(AHEAD));
        // The questions of a stream come while it is answered.
        if class != Class::Stream {
            self.receiver.receive(request, class, deadline.0.min(began + IN_TIME)).await?;
        }
        let place = match (class, is_stream) {
            (Class::Probe, true) => Some(self.concurrency.watch(request.extensions().get())?),
            _ => self.concurrency.enter(class)?,
        };
        let Ends { leave, cut } = request.extensions().get().cloned().unwrap_or_default();
        let address = request.extensions().get::<ClientAddress>().map(|address| address.0);
        request.extensions_mut().insert(entry);
        request.extensions_mut().insert(deadline);
        Ok(Pass {
            deadline,
            is_stream,
            is_demand: is_demand(access, class, request.headers()),
            bounds: began
                + asked.unwrap_or(LONGEST_STREAM).min(LONGEST_STREAM).saturating_sub(AHEAD),
            // Watches end by themselves, one after another, and say where they stand.
            stopping: if class == Class::Watch {
                CancellationToken::new()
            } else {
                self.stopping.clone()
            },
            leaving: leave,
            place,
            reader: Reader { address, cut },
            unread: self.unread.clone(),
        })
    }

    fn new_id(&self) -> HeaderValue {
        let id = self.ambient.id(self.ambient.now()).to_string();
        HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("none"))
    }
}

impl Pass {
    async fn run(self, request: Request, next: Next) -> Response {
        // The future is large; on the heap it does not have to be moved about.
        let answer = Box::pin(next.run(request));
        let Ok(response) = tokio::time::timeout_at(self.deadline.0, answer).await else {
            return refuse(&Fault::new(
                Reason::DeadlineExceeded,
                "the call's deadline passed; retry a write with the same request_id",
            ));
        };
        if !self.is_stream {
            return self.unread.keep(response, self.reader).await;
        }
        let (parts, body) = response.into_parts();
        let body = Bounded::new(body, self.bounds, (self.stopping, self.leaving), self.place);
        Response::from_parts(parts, Body::new(body))
    }
}

/// Whether hashing gives way to such a call when it is answered and not refused: to short calls of those who
/// are known. Strangers keep nobody's log-in waiting, not even with methods that are open to them. Where a
/// token is looked at at all, a call that shows one that is no good is refused.
fn is_demand(access: Access, class: Class, headers: &HeaderMap) -> bool {
    let shows_a_token = access != Access::Open && headers.contains_key(AUTHORIZATION);
    shows_a_token && matches!(class, Class::Read | Class::Write)
}

/// The response for a refused call: trailers only.
pub(in crate::grpc) fn refuse(fault: &Fault) -> Response {
    status(fault).into_http()
}

/// The response for a handler that panicked; for that call only.
#[expect(clippy::needless_pass_by_value, reason = "the signature that the layer calls")]
pub(in crate::grpc) fn panicked(panic: Box<dyn std::any::Any + Send>) -> http::Response<Body> {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    refuse(&Fault::internal(format!("a handler panicked: {text}")))
}

fn request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(REQUEST_ID)?;
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:/".contains(b);
    ((1..=64).contains(&value.len()) && value.as_bytes().iter().all(plain)).then(|| value.clone())
}

/// The time that the caller gives the call: 1 to 8 digits and a unit (gRPC over HTTP/2, "Timeout").
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Fault> {
    let mut all = headers.get_all(GRPC_TIMEOUT).iter();
    let Some(value) = all.next() else { return Ok(None) };
    let parsed = value.to_str().ok().filter(|_| all.next().is_none()).and_then(parse_timeout);
    parsed.map(Some).ok_or_else(|| {
        Fault::new(
            Reason::MalformedRequest,
            "the header grpc-timeout must be 1 to 8 digits and one of H, M, S, m, u, n",
        )
    })
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

/// Replaces tonic's own answers to requests that it could not read. Ours have details; its have none.
/// Answers that it cannot write do not come by here: their status is in the trailers, after the body.
fn put_right(response: Response, longest: usize) -> Response {
    let headers = response.headers();
    let Some(status) = Status::from_header_map(headers) else { return response };
    if !status.details().is_empty() {
        return response;
    }
    match status.code() {
        Code::Internal => refuse(&Fault::new(
            Reason::MalformedRequest,
            "the request is not a message of the method's type",
        )),
        Code::OutOfRange => {
            let text =
                format!("the request message is larger than the server accepts: {longest} bytes");
            let fault = Fault::new(Reason::MessageTooLarge, text);
            refuse(&fault.with("max_bytes", longest.to_string()))
        }
        Code::Unimplemented => refuse(&Fault::new(
            Reason::MethodUnknown,
            "the server has no such method, or does not take this compression",
        )),
        _ => response,
    }
}

fn note(response: &Response, began: Moment) {
    let code = response.headers().get("grpc-status").and_then(|v| v.to_str().ok()).unwrap_or("0");
    let took = began.elapsed();
    tracing::debug!(code, micros = took.as_micros(), "answered");
}

#[cfg(test)]
mod tests {
    use axum::{Router, middleware::from_fn_with_state};
    use tower::ServiceExt;

    use super::*;
    use crate::config::{Config, Sources};

    /// A gate that lets through to handlers that answer everything, and refuse whom the header tells them to.
    fn served() -> (Router, CallCounter) {
        let server = Config::load(Sources::default()).unwrap().0.server;
        let demand = CallCounter::default();
        let state = Gate {
            ambient: Ambient::system(),
            default_deadline: Duration::from_mins(1),
            max_deadline: Duration::from_mins(1),
            receiver: Receiver::new(&server),
            concurrency: ConcurrencyLimiter::new(&server),
            unread: UnreadResponses::start(),
            demand: demand.clone(),
            trusted_proxies: Arc::from([]),
            stopping: CancellationToken::new(),
        };
        let answer = async |request: Request| {
            if request.headers().contains_key("refused") {
                return refuse(&Fault::new(Reason::NotAuthenticated, "no"));
            }
            Response::default()
        };
        (Router::new().fallback(answer).layer(from_fn_with_state(state, gate)), demand)
    }

    #[tokio::test]
    async fn hashing_gives_way_to_those_who_are_known_and_to_nobody_else() {
        let (router, demand) = served();
        let is_counted = async |path: &str, headers: &[&str]| {
            let mut request = http::Request::builder().uri(path);
            for name in headers {
                request = request.header(*name, "Bearer x");
            }
            let before = demand.count();
            let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await;
            assert_eq!(response.unwrap().headers().contains_key(GRPC_STATUS), headers.len() > 1);
            demand.count() > before
        };
        let token = &["authorization"][..];
        for (path, access, _) in policy::TABLE {
            let class = policy::entry(path).unwrap().class;
            let is_short = matches!(class, Class::Read | Class::Write);
            let expected = is_short && *access != Access::Open;
            assert_eq!(is_counted(path, token).await, expected, "{path}");
            // Also where a page of the practice is open to everybody.
            assert!(!is_counted(path, &[]).await, "{path}");
            assert!(!is_counted(path, &["authorization", "refused"]).await, "{path}");
        }
        assert!(is_counted("/daybook.booking.v1.BookingService/HoldSlot", token).await);
        assert!(!is_counted("/daybook.auth.v1.AuthService/GetJwks", token).await);
        assert!(!is_counted("/daybook.auth.v1.EmailService/RequestPasswordReset", token).await);
    }

    #[test]
    fn timeouts_read_as_the_protocol_says() {
        assert_eq!(parse_timeout("1H"), Some(Duration::from_hours(1)));
        assert_eq!(parse_timeout("99999999n"), Some(Duration::from_nanos(99_999_999)));
        assert_eq!(parse_timeout("50m"), Some(Duration::from_millis(50)));
        for bad in ["", "S", "1", "banana", "123456789S", "-1S", "+1S", "1 S", "1s", "1é", "٣S"] {
            assert_eq!(parse_timeout(bad), None, "{bad:?}");
        }
    }
}
