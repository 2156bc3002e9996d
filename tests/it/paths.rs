//! What reaches a handler: one spelling of a path, one method, headers within the limit.

use daybook::grpc::proto::auth::Role;
use http::StatusCode;
use prost::Message;
use tonic::{Code, transport::Channel};

use crate::support::{
    Engine, World,
    people::sign_up,
    process::within,
    raw::{authorized, http, unary},
    refusal::refused,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_spellings_of_a_path_reach_no_handler() {
    let world = World::new(Engine::Sqlite).await;
    let before = world.state().await;
    let good = "/daybook.auth.v1.AuthService/SignUp";
    for odd in [
        "/".to_owned(),
        format!("/{good}"),
        format!("{good}/"),
        format!("{good}//"),
        good.replace("/SignUp", "//SignUp"),
        good.replace("/SignUp", "/./SignUp"),
        good.replace("/SignUp", "/x/../SignUp"),
        format!("{good}/../SignUp"),
        good.replace("SignUp", "signup"),
        good.replace("SignUp", "Signup"),
        good.to_uppercase(),
        good.to_lowercase(),
        good.replace("auth.v1", "auth%2ev1"),
        good.replace("auth.v1", "auth%2Ev1"),
        good.replace("SignUp", "Sign%55p"),
        good.replace("/SignUp", "%2FSignUp"),
        format!("{good}%00"),
        format!("{good}%20"),
        format!("{good};x"),
        good.replace("/SignUp", "/"),
        good.replace("/SignUp", ""),
        good.replace("/SignUp", "/SignUp2"),
        good.replace("AuthService", "BookingService"),
        good.replace("daybook.auth.v1", "daybook.booking.v1"),
        good.replace("daybook.", ""),
        good.replace("v1", "v2"),
        "/grpc.health.v1.Health/List".to_owned(),
        "/grpc.health.v1.Health/../daybook.auth.v1.AuthService/SignUp".to_owned(),
        format!("/{}", "x".repeat(4000)),
    ] {
        let body = sign_up(Role::Customer).encode_to_vec();
        let answer = unary(&world.channel, &odd, authorized(body, None)).await;
        let status = refused(answer, "METHOD_UNKNOWN");
        assert_eq!(status.code(), Code::Unimplemented, "{odd}");
        assert!(!format!("{status:?}").contains("xxxx"), "the path is not sent back");
    }
    assert_eq!(world.state().await, before);
    // The control: the right path makes an account.
    let body = sign_up(Role::Customer).encode_to_vec();
    unary(&world.channel, good, authorized(body, None)).await.unwrap();
    assert_ne!(world.state().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_post_reaches_a_handler() {
    let world = World::new(Engine::Sqlite).await;
    let before = world.state().await;
    let path = "/daybook.auth.v1.AuthService/SignUp";
    for method in ["GET", "PUT", "HEAD", "DELETE", "PATCH", "TRACE", "BREW"] {
        for kind in
            ["application/grpc", "application/grpc+proto", "application/grpc-web", "text/plain"]
        {
            let body = sign_up(Role::Customer).encode_to_vec();
            let answer = http(&world.channel, (method, path), kind, &body).await;
            assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {kind}");
            assert_eq!(answer.headers()["allow"], "POST", "{method} {kind}");
            assert!(!answer.headers().contains_key("grpc-status"), "{method} {kind}");
        }
    }
    assert_eq!(world.state().await, before);
    // The control: the same bytes, posted.
    let body = sign_up(Role::Customer).encode_to_vec();
    let answer = http(&world.channel, ("POST", path), "application/grpc", &body).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_ne!(world.state().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_beyond_the_limit_are_refused_and_nobody_waits() {
    let world = World::new(Engine::Sqlite).await;
    let before = world.state().await;
    let path = "/daybook.auth.v1.AuthService/SignUp";
    let call = async |channel: &Channel, padding: usize| {
        let mut request = authorized(sign_up(Role::Customer).encode_to_vec(), None);
        request.metadata_mut().insert("x-padding", "x".repeat(padding).parse().unwrap());
        within(10, "an answer", unary(channel, path, request)).await
    };
    // The transport refuses the one call, before there is anything that could say why in gRPC's words.
    for padding in [16 * 1024, 20_000, 40_000] {
        let status = call(&world.channel, padding).await.unwrap_err();
        assert_eq!(status.code(), Code::Unknown, "{padding}: {status:?}");
        assert!(status.message().contains("431"), "{padding}: {status:?}");
    }
    // Beyond any sense it is the connection that ends, and how that looks depends on who was faster.
    for padding in [200_000, 1_000_000] {
        let channel = world.connect().await;
        call(&channel, padding).await.unwrap_err();
    }
    assert_eq!(world.state().await, before);
    // Within the limit, and on the connection that was refused before.
    call(&world.channel, 15_000).await.unwrap();
}
