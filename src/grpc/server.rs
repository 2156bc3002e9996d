//! The server: services, and what surrounds them.

use std::{convert::Infallible, future::Future, str::FromStr as _, sync::Arc, time::Duration};

use axum::{Router, extract::Request, middleware, response::Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::{InterceptorLayer, Routes};
use tonic_health::pb::health_server::{Health as HealthService, HealthServer};
use tonic_reflection::pb::{v1, v1alpha};
use tonic_web::GrpcWebLayer;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
};

use super::api::{Api, reflection::Reflection};
use super::edge::{
    caller::Authenticate,
    concurrency::ConcurrencyLimiter,
    connection_service::Protocol,
    connections::{Limits, accept},
    gate::{Gate, gate, panicked},
    large,
    rates::Rates,
    request_body::Receiver,
    tls::Tls,
    unread_responses::UnreadResponses,
};
use super::{
    proto::{
        auth::{
            auth_service_server::AuthServiceServer, customer_service_server::CustomerServiceServer,
            email_service_server::EmailServiceServer,
            personal_data_service_server::PersonalDataServiceServer,
            second_factor_service_server::SecondFactorServiceServer,
            service_account_service_server::ServiceAccountServiceServer,
        },
        booking::{
            availability_service_server::AvailabilityServiceServer,
            booking_service_server::BookingServiceServer,
            catalogue_service_server::CatalogueServiceServer,
            schedule_service_server::ScheduleServiceServer,
            watch_service_server::WatchServiceServer,
        },
    },
    services::Services,
    status::REASON_HEADER,
};
use crate::{
    bulkhead::Turns,
    config::{Config, ServerConfig},
    kernel::{
        ambient::{Ambient, cores},
        call_counter::CallCounter,
        fault::Fault,
    },
};

/// An answer of ours is far below this: 500 appointments with notes of 2000 characters.
const LONGEST_ANSWER: usize = 8 * 1024 * 1024;

/// A socket that is listened on, and what connections to it are greeted with.
#[derive(Debug)]
pub struct Door {
    /// The listening socket.
    pub listener: TcpListener,
    /// TLS, or plaintext.
    pub(crate) tls: Option<Tls>,
}

/// Serves at this door until `stop` is ready, then lets the calls under way finish. `stopping` ends
/// streams. Does not return while a connection stays open: the caller sets a limit.
pub async fn serve<H: HealthService>(
    door: Door,
    services: Services,
    health: HealthServer<H>,
    config: &Config,
    stopping: CancellationToken,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let jitter = Duration::from_secs(u64::from(services.ambient.bytes::<1>()[0]));
    let ambient = services.ambient.clone();
    let router = routes(services, health, config, stopping)?;
    let limits = Limits::new(&config.server);
    let served = (router, Protocol::new(&config.server, jitter));
    tokio::select! {
        () = accept(door.listener, limits, door.tls.clone(), served, stop) => Ok(()),
        never = follow(door.tls.as_ref(), &ambient) => match never {},
    }
}

/// Serves health, and nothing else, for ever. `stopping` ends its streams.
pub async fn serve_health<H: HealthService>(
    listener: TcpListener,
    health: HealthServer<H>,
    config: &Config,
    ambient: Ambient,
    stopping: CancellationToken,
) -> Result<(), ServeError> {
    let around = (ambient, CallCounter::default());
    let gate_state = gate_of(&config.server, around, stopping);
    let routes = Routes::new(health.max_decoding_message_size(config.server.max_message_bytes));
    let router = surround(routes.prepare().into_axum_router(), gate_state);
    let served = (router, Protocol::new(&config.server, Duration::ZERO));
    accept(listener, Limits::new(&config.server), None, served, std::future::pending()).await;
    Ok(())
}

async fn follow(tls: Option<&Tls>, ambient: &Ambient) -> Infallible {
    match tls {
        Some(tls) => tls.follow(ambient).await,
        None => std::future::pending().await,
    }
}

/// Why the server ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// What it was to serve could not be put together.
    #[error("putting the services together: {0}")]
    Services(#[from] Fault),
}

fn routes<H: HealthService>(
    services: Services,
    health: HealthServer<H>,
    config: &Config,
    stopping: CancellationToken,
) -> Result<Router, Fault> {
    let server = &config.server;
    let longest = server.max_message_bytes;
    let authenticate = Authenticate {
        tokens: services.accounts.tokens.clone(),
        api_keys: services.accounts.service_accounts.keys().clone(),
        ambient: services.ambient.clone(),
        public_booking_pages: server.public_booking_pages,
        rates: Rates::new(server),
    };
    let around = (services.ambient.clone(), services.demand.clone());
    let gate_state = gate_of(server, around, stopping);
    let api = Arc::new(Api::new(services, config.auth.password_min_length));
    let mut routes = Routes::new(health.max_decoding_message_size(longest));
    macro_rules! add {
        ($($server:ident),+ $(,)?) => {$(
            let of_service = $server::from_arc(Arc::clone(&api));
            routes = routes.add_service(
                of_service
                    .max_decoding_message_size(longest)
                    .max_encoding_message_size(LONGEST_ANSWER),
            );
        )+};
    }
    add!(
        AuthServiceServer,
        EmailServiceServer,
        SecondFactorServiceServer,
        ServiceAccountServiceServer,
        CustomerServiceServer,
        PersonalDataServiceServer,
        ScheduleServiceServer,
        BookingServiceServer,
        CatalogueServiceServer,
        AvailabilityServiceServer,
        WatchServiceServer,
    );
    if server.reflection {
        let reflection = Reflection::new()?;
        routes = routes
            .add_service(
                v1::server_reflection_server::ServerReflectionServer::new(reflection.clone())
                    .max_decoding_message_size(longest),
            )
            .add_service(
                v1alpha::server_reflection_server::ServerReflectionServer::new(reflection)
                    .max_decoding_message_size(longest),
            );
    }
    // From the inside to the outside: turns of large requests, who is calling, what surrounds every service, CORS.
    let router = routes
        .prepare()
        .into_axum_router()
        .layer(middleware::from_fn_with_state(Turns::new(cores()), large::wait))
        .layer(InterceptorLayer::new(authenticate));
    Ok(surround(router, gate_state).layer(cors(server)))
}

fn gate_of(
    server: &ServerConfig,
    (ambient, demand): (Ambient, CallCounter),
    stopping: CancellationToken,
) -> Gate {
    Gate {
        ambient,
        default_deadline: Duration::from_millis(server.default_deadline_ms),
        max_deadline: Duration::from_millis(server.max_deadline_ms),
        receiver: Receiver::new(server),
        concurrency: ConcurrencyLimiter::new(server),
        unread: UnreadResponses::start(),
        demand,
        trusted_proxies: server.trusted_proxies.as_slice().into(),
        stopping,
    }
}

/// From the inside to the outside: the net under panics, the gate, gRPC-Web, foreign methods and
/// content types.
fn surround(router: Router, gate_state: Gate) -> Router {
    router
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(gate_state, gate))
        .layer(GrpcWebLayer::new())
        .layer(middleware::from_fn(only_grpc))
}

/// Answers 405 or 415 to anything that is not gRPC or gRPC-Web: tonic would serve any method, such as a
/// GET that somebody in between may repeat, and a `text/plain` POST, which browsers send across origins
/// without asking.
async fn only_grpc(request: Request, next: middleware::Next) -> Response {
    if request.method() != Method::POST {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let rest = kind.strip_prefix("application/grpc");
    if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';', '-'])) {
        return next.run(request).await;
    }
    let mut response = Response::default();
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response
}

/// What clients of gRPC-Web and of Connect send, and what tracing adds (W3C Trace Context and Baggage).
const ALLOWED_HEADERS: [&str; 13] = [
    "authorization",
    "baggage",
    "connect-accept-encoding",
    "connect-content-encoding",
    "connect-protocol-version",
    "connect-timeout-ms",
    "content-type",
    "grpc-timeout",
    "traceparent",
    "tracestate",
    "x-grpc-web",
    "x-request-id",
    "x-user-agent",
];

/// Browsers of the listed origins may call; others get no permission. `x-daybook-act-for` is not among the
/// headers: it goes with API keys, which do not belong into browsers.
fn cors(server: &ServerConfig) -> CorsLayer {
    let origins =
        server.cors_origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    let exposed =
        ["grpc-status", "grpc-message", "grpc-status-details-bin", "x-request-id", REASON_HEADER];
    let more = server.cors_headers.iter().filter_map(|name| HeaderName::from_str(name).ok());
    let allowed = ALLOWED_HEADERS.map(HeaderName::from_static).into_iter().chain(more);
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::POST])
        .allow_headers(allowed.collect::<Vec<_>>())
        .expose_headers(exposed.map(HeaderName::from_static))
        .max_age(Duration::from_hours(1))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use tonic::Status;
    use tower::ServiceExt;

    use super::*;
    use crate::{config::Sources, grpc::policy};

    /// What is around a handler of every method, and one place of each class.
    fn served() -> Router {
        let mut server = Config::load(Sources::default()).unwrap().0.server;
        server.max_in_flight = 1;
        server.max_log_ins_in_flight = 1;
        server.max_writes_in_flight = 1;
        server.max_reads_in_flight = 1;
        server.max_streams = 1;
        let around = (Ambient::system(), CallCounter::default());
        let answer = async |request: Request| {
            assert!(!request.headers().contains_key("panics"), "the table users has no row");
            Response::<Body>::default()
        };
        surround(Router::new().fallback(answer), gate_of(&server, around, CancellationToken::new()))
    }

    #[tokio::test]
    async fn a_handler_that_panics_gives_its_place_back_whatever_the_method() {
        let router = served();
        for (path, ..) in policy::TABLE {
            let call = async |panics: bool| {
                let request = http::Request::builder().method(Method::POST).uri(*path);
                let request = request.version(http::Version::HTTP_2);
                let request = request.header(header::CONTENT_TYPE, "application/grpc");
                let request = if panics { request.header("panics", "yes") } else { request };
                let request = request.body(Body::from(vec![0; 5])).unwrap();
                let response = router.clone().oneshot(request).await.unwrap();
                let id = response.headers().get("x-request-id").cloned();
                (Status::from_header_map(response.headers()), format!("{response:?}"), id)
            };
            for _ in 0..3 {
                let (status, all, id) = call(true).await;
                let status = status.unwrap();
                assert_eq!(status.code(), tonic::Code::Internal, "{path}: {status:?}");
                let all = format!("{all}{:?}", String::from_utf8_lossy(status.details()));
                assert!(all.contains("INTERNAL") && !all.contains("users"), "{all}");
                assert!(id.is_some(), "{path}");
            }
            // It is the only place of its class, and of all.
            let (status, ..) = call(false).await;
            assert!(status.is_none(), "{path}: {status:?}");
        }
    }
}
