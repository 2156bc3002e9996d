//! Tokens: only those that this installation made, as it made them, while they last.

use std::time::Duration;

use aws_lc_rs::{
    hmac,
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chrono::{DateTime, TimeDelta, Utc};
use daybook::{
    grpc::proto::auth::{DisableUserRequest, GetMeRequest, LogOutRequest, User},
    identity::master_key::MasterKey,
};
use prost::Message;
use serde_json::{Map, Value, json};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
};

use crate::support::{
    Engine, World,
    people::{Person, with_token},
    raw::{authorized, seen, unary},
    refusal::refused,
};

const GET_ME: &str = "/daybook.auth.v1.AuthService/GetMe";
/// How far apart clocks may be, in seconds.
const LEEWAY: i64 = 30;

/// Everything that is needed to make tokens: the server's key, and a true token as the pattern.
struct Mint {
    key: Ed25519KeyPair,
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl Mint {
    fn new(world: &World, token: &str) -> Self {
        let (master, _) = MasterKey::read_or_make(&world.key_file()).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let read = |part: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(part).unwrap();
            serde_json::from_slice::<Map<String, Value>>(&bytes).unwrap()
        };
        Self {
            key: Ed25519KeyPair::from_seed_unchecked(&master.derived("signing key")).unwrap(),
            header: read(parts[0]),
            claims: read(parts[1]),
        }
    }

    /// A token with these texts, signed with the server's key.
    fn sign(&self, header: &str, claims: &str) -> String {
        sign(&self.key, header, claims)
    }

    fn header(&self) -> String {
        Value::from(self.header.clone()).to_string()
    }

    fn claims(&self) -> String {
        Value::from(self.claims.clone()).to_string()
    }

    /// The true token but for one claim: another value, or none.
    fn with_claim(&self, name: &str, value: Option<Value>) -> String {
        self.sign(&self.header(), &Value::from(changed(&self.claims, name, value)).to_string())
    }

    /// The true token but for one field of the header.
    fn with_header(&self, name: &str, value: Option<Value>) -> String {
        self.sign(&Value::from(changed(&self.header, name, value)).to_string(), &self.claims())
    }

    /// The true token but for raw JSON in place of a claim's value.
    fn with_raw_claim(&self, name: &str, json: &str) -> String {
        let claims = Value::from(changed(&self.claims, name, Some(json!("HERE")))).to_string();
        self.sign(&self.header(), &claims.replace("\"HERE\"", json))
    }
}

fn changed(of: &Map<String, Value>, name: &str, value: Option<Value>) -> Map<String, Value> {
    let mut map = of.clone();
    match value {
        Some(value) => map.insert(name.to_owned(), value),
        None => map.remove(name),
    };
    map
}

fn parts(header: &str, claims: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

fn sign(key: &Ed25519KeyPair, header: &str, claims: &str) -> String {
    let parts = parts(header, claims);
    let signature = URL_SAFE_NO_PAD.encode(key.sign(parts.as_bytes()).as_ref());
    format!("{parts}.{signature}")
}

fn hs256(secret: &[u8], header: &str, claims: &str) -> String {
    let parts = parts(header, claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), parts.as_bytes());
    format!("{parts}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

async fn get_me(world: &World, token: &str) -> Result<User, Status> {
    let request = with_token(GetMeRequest {}, token);
    Ok(world.auth().get_me(request).await?.into_inner().user.unwrap())
}

/// Hostile tokens, each with what is wrong with it.
fn corpus(mint: &Mint, token: &str, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let now = now.timestamp();
    let (header, claims) = (mint.header(), mint.claims());
    let other = Ed25519KeyPair::generate().unwrap();
    let public = mint.key.public_key().as_ref();
    let spki = [&[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0][..], public].concat();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(&spki)
    );
    let alg = |alg: &str| Value::from(changed(&mint.header, "alg", Some(json!(alg)))).to_string();
    let jwk = |key: &Ed25519KeyPair| {
        let x = URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
        json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "x": x })
    };
    let with_jwk = |key: &Ed25519KeyPair| {
        Value::from(changed(&mint.header, "jwk", Some(jwk(key)))).to_string()
    };
    let with_jku =
        |url: &str| Value::from(changed(&mint.header, "jku", Some(json!(url)))).to_string();
    let [head, body, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let raised = |claims: &str| claims.replace("\"customer\"", "\"admin\"");
    let doubled =
        |name: &str, value: &str| claims.replacen('{', &format!("{{\"{name}\":{value},"), 1);
    vec![
        // The algorithm and the key.
        ("alg none, no signature", format!("{}.", parts(&alg("none"), &claims))),
        ("alg None", format!("{}.", parts(&alg("None"), &claims))),
        ("alg none, two parts", parts(&alg("none"), &claims)),
        ("alg none, signed", mint.sign(&alg("none"), &claims)),
        ("HS256 with the public key", hs256(public, &alg("HS256"), &claims)),
        ("HS256 with the public key in DER", hs256(&spki, &alg("HS256"), &claims)),
        ("HS256 with the public key in PEM", hs256(pem.as_bytes(), &alg("HS256"), &claims)),
        ("HS256 with nothing", hs256(b"", &alg("HS256"), &claims)),
        ("EdDSA that is HS256", hs256(public, &header, &claims)),
        ("alg ES256", mint.sign(&alg("ES256"), &claims)),
        ("alg RS256", mint.sign(&alg("RS256"), &claims)),
        ("alg eddsa", mint.sign(&alg("eddsa"), &claims)),
        ("alg missing", mint.with_header("alg", None)),
        ("alg a list", mint.with_header("alg", Some(json!(["EdDSA"])))),
        ("another key", sign(&other, &header, &claims)),
        ("kid unknown", mint.with_header("kid", Some(json!("unknown")))),
        ("kid a path", mint.with_header("kid", Some(json!("../../dev/null")))),
        ("kid empty", mint.with_header("kid", Some(json!("")))),
        ("kid missing", mint.with_header("kid", None)),
        ("jwk of another key", sign(&other, &with_jwk(&other), &claims)),
        ("jwk of our key", mint.sign(&with_jwk(&mint.key), &claims)),
        ("jku", sign(&other, &with_jku("https://example.org/keys"), &claims)),
        ("jku to a file", sign(&other, &with_jku("file:///dev/null"), &claims)),
        ("crit", mint.with_header("crit", Some(json!(["exp"])))),
        ("crit unknown", mint.with_header("crit", Some(json!(["x"])))),
        // The type.
        ("typ JWT", mint.with_header("typ", Some(json!("JWT")))),
        ("typ missing", mint.with_header("typ", None)),
        ("typ of an id token", mint.with_header("typ", Some(json!("id+jwt")))),
        // Whose, and for whom.
        ("iss wrong", mint.with_claim("iss", Some(json!("elsewhere")))),
        ("iss a list", mint.with_claim("iss", Some(json!(["daybook"])))),
        ("iss missing", mint.with_claim("iss", None)),
        ("aud wrong", mint.with_claim("aud", Some(json!("elsewhere")))),
        ("aud a list", mint.with_claim("aud", Some(json!(["daybook"])))),
        ("aud a list of two", mint.with_claim("aud", Some(json!(["x", "daybook"])))),
        ("aud missing", mint.with_claim("aud", None)),
        ("sub no id", mint.with_claim("sub", Some(json!("root")))),
        ("sub empty", mint.with_claim("sub", Some(json!("")))),
        ("sub a path", mint.with_claim("sub", Some(json!("users/x")))),
        (
            "sub in upper case",
            mint.with_claim(
                "sub",
                Some(json!(mint.claims["sub"].as_str().unwrap().to_uppercase())),
            ),
        ),
        ("sub missing", mint.with_claim("sub", None)),
        ("sid missing", mint.with_claim("sid", None)),
        ("sid no id", mint.with_claim("sid", Some(json!("x")))),
        ("jti missing", mint.with_claim("jti", None)),
        ("jti no id", mint.with_claim("jti", Some(json!("x")))),
        ("role unknown", mint.with_claim("role", Some(json!("root")))),
        ("role in upper case", mint.with_claim("role", Some(json!("CUSTOMER")))),
        ("role missing", mint.with_claim("role", None)),
        ("role a list", mint.with_claim("role", Some(json!(["admin"])))),
        ("generation missing", mint.with_claim("generation", None)),
        ("generation text", mint.with_claim("generation", Some(json!("0")))),
        // When.
        ("exp missing", mint.with_claim("exp", None)),
        ("exp text", mint.with_claim("exp", Some(json!((now + 3600).to_string())))),
        ("exp null", mint.with_claim("exp", Some(Value::Null))),
        ("exp negative", mint.with_claim("exp", Some(json!(-1)))),
        ("exp 2^63", mint.with_raw_claim("exp", "9223372036854775808")),
        ("exp 2^63 - 1", mint.with_raw_claim("exp", "9223372036854775807")),
        ("exp 1e300", mint.with_raw_claim("exp", "1e300")),
        ("exp a float", mint.with_raw_claim("exp", &format!("{}.5", now + 3600))),
        ("exp before iat", mint.with_claim("exp", Some(json!(now - 1)))),
        ("iat missing", mint.with_claim("iat", None)),
        ("iat text", mint.with_claim("iat", Some(json!(now.to_string())))),
        ("iat -2^63", mint.with_raw_claim("iat", "-9223372036854775808")),
        ("iat 2^63", mint.with_raw_claim("iat", "9223372036854775808")),
        ("iat a float", mint.with_raw_claim("iat", &format!("{now}.0"))),
        ("issued in the future", mint.with_claim("iat", Some(json!(now + LEEWAY + 1)))),
        // The form.
        ("role twice", mint.sign(&header, &doubled("role", "\"admin\""))),
        ("sub twice", mint.sign(&header, &doubled("sub", "\"x\""))),
        ("exp twice", mint.sign(&header, &doubled("exp", "9999999999"))),
        ("claims a list", mint.sign(&header, "[]")),
        ("claims no JSON", mint.sign(&header, "{")),
        ("header no JSON", mint.sign("x", &claims)),
        (
            "claims raised, old signature",
            format!("{head}.{}.{signature}", { URL_SAFE_NO_PAD.encode(raised(&claims)) }),
        ),
        ("signature stripped", format!("{head}.{body}.")),
        ("signature and dot stripped", format!("{head}.{body}")),
        ("signature of zeros", format!("{head}.{body}.{}", URL_SAFE_NO_PAD.encode([0; 64]))),
        ("signature cut", token[..token.len() - 2].to_owned()),
        ("signature made longer", format!("{token}AA")),
        ("signature padded", format!("{token}==")),
        ("half a token", token[..token.len() / 2].to_owned()),
        ("no header", format!(".{body}.{signature}")),
        ("no claims", format!("{head}..{signature}")),
        ("nothing but dots", "..".to_owned()),
        ("one dot", ".".to_owned()),
        ("an extra dot", format!("{token}.")),
        ("a dot before", format!(".{token}")),
        ("five parts", format!("{token}.x.y")),
        ("standard base64", token.replace(['-', '_'], "+") + "+"),
        ("a blank inside", token.replacen('.', " .", 1)),
        ("giant", format!("{head}.{}.{signature}", "A".repeat(8 * 1024))),
        ("giant but true", {
            let claims = changed(&mint.claims, "x", Some(json!("x".repeat(4096))));
            mint.sign(&header, &Value::from(claims).to_string())
        }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_tokens_as_they_were_made_are_accepted_and_all_others_are_refused_alike() {
    let world = World::new(Engine::Sqlite).await;
    let person = world.customer().await;
    let mint = Mint::new(&world, &person.token);
    // What the server made is a token of this form, and nothing more is in it.
    let names: Vec<&str> = mint.claims.keys().map(String::as_str).collect();
    let all = ["aud", "exp", "generation", "iat", "iss", "jti", "role", "sid", "sub"];
    assert_eq!(names, all);
    assert_eq!((&mint.header["alg"], &mint.header["typ"]), (&json!("EdDSA"), &json!("at+jwt")));
    let none = seen(&world.auth().get_me(GetMeRequest {}).await.unwrap_err());
    let corpus = corpus(&mint, &person.token, world.clock.now());
    assert!(corpus.len() >= 90, "{}", corpus.len());
    let mut accepted = Vec::new();
    for (what, token) in &corpus {
        let request = authorized(Vec::new(), Some(&format!("Bearer {token}")));
        match unary(&world.channel, GET_ME, request).await {
            Ok(_) => accepted.push(*what),
            Err(status) => assert_eq!(seen(&status), none, "{what}"),
        }
    }
    assert_eq!(accepted, Vec::<&str>::new());
    // The controls: the true token, and one that the test made itself in the same way.
    for token in [person.token.clone(), mint.sign(&mint.header(), &mint.claims())] {
        assert_eq!(get_me(&world, &token).await.unwrap(), person.user);
    }
    // Issued in the future, as far as clocks may be apart.
    let soon = world.clock.now().timestamp() + LEEWAY;
    get_me(&world, &mint.with_claim("iat", Some(json!(soon)))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_that_is_no_text_is_no_token() {
    let world = World::new(Engine::Sqlite).await;
    let person = world.customer().await;
    let none = seen(&world.auth().get_me(GetMeRequest {}).await.unwrap_err());
    for odd in [&b"\xff"[..], b"\xc3\x28", b"\xe2\x80\xae", b"\x80\x80", "\u{e9}".as_bytes()] {
        for bytes in [
            [b"Bearer ", person.token.as_bytes(), odd].concat(),
            [b"Bearer ", odd, person.token.as_bytes()].concat(),
            [odd, b"Bearer ", person.token.as_bytes()].concat(),
        ] {
            let mut request = Request::new(GetMeRequest {}.encode_to_vec());
            let value = MetadataValue::<Ascii>::try_from(&bytes[..]).unwrap();
            request.metadata_mut().insert("authorization", value);
            let status = unary(&world.channel, GET_ME, request).await.unwrap_err();
            assert_eq!(seen(&status), none, "{bytes:?}");
        }
    }
    get_me(&world, &person.token).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_ends_thirty_seconds_after_its_expiry_also_when_it_was_seen_before() {
    let settings = [("auth.access_token_ttl_seconds", "300")];
    let world = World::with(Engine::Sqlite, &settings).await;
    let person = world.customer().await;
    let unseen = world.log_in(&person.user.email).await;
    let late = world.log_in(&person.user.email).await;
    let end = world.clock.now() + TimeDelta::seconds(300 + LEEWAY);
    get_me(&world, &person.token).await.unwrap();
    world.clock.set(end - TimeDelta::microseconds(1));
    get_me(&world, &person.token).await.unwrap();
    get_me(&world, &unseen.token).await.unwrap();
    world.clock.set(end);
    for token in [&person.token, &unseen.token, &late.token] {
        refused(get_me(&world, token).await, "NOT_AUTHENTICATED");
    }
    // Forging a longer life does not help, and a clock that is set back does not harm.
    let mint = Mint::new(&world, &person.token);
    let long = mint.with_claim("exp", Some(json!(end.timestamp() + 600)));
    assert!(get_me(&world, &long).await.is_ok(), "signed with our own key it is ours");
    world.clock.set(end - TimeDelta::microseconds(1));
    get_me(&world, &person.token).await.unwrap();
    let again = world.log_in(&person.user.email).await;
    get_me(&world, &again.token).await.unwrap();
}

/// Asks until the token is refused. The answer comes by itself: each server looks every second.
async fn until_refused(world: &World, person: &Person) {
    let asking = async {
        loop {
            match get_me(world, &person.token).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(status) => return status,
            }
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(20), asking).await;
    let status = status.expect("a token that another server ended is still accepted");
    refused(Err::<(), _>(status), "NOT_AUTHENTICATED");
}

async fn tokens_that_one_server_ends_end_on_the_other(engine: Engine) {
    let world = World::new(engine).await;
    let other = world.beside().await;
    let (admin, person, bystander) =
        (world.admin().await, world.customer().await, world.customer().await);
    for server in [&world, &other] {
        get_me(server, &person.token).await.unwrap();
    }
    let request = DisableUserRequest { name: person.user.name.clone(), ..Default::default() };
    world.auth().disable_user(admin.asks(request)).await.unwrap();
    refused(get_me(&world, &person.token).await, "NOT_AUTHENTICATED");
    until_refused(&other, &person).await;
    get_me(&other, &bystander.token).await.unwrap();
    get_me(&other, &admin.token).await.unwrap();
    // A session that ends by itself, and no other one of the same account.
    let left = world.log_in(&bystander.user.email).await;
    get_me(&other, &left.token).await.unwrap();
    world.auth().log_out(left.asks(LogOutRequest {})).await.unwrap();
    refused(get_me(&world, &left.token).await, "NOT_AUTHENTICATED");
    until_refused(&other, &left).await;
    get_me(&other, &bystander.token).await.unwrap();
    // A server that starts afterwards refuses it from its first answer on, or soon after.
    let third = world.beside().await;
    until_refused(&third, &person).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_one_server_ends_end_on_the_other_on_sqlite() {
    tokens_that_one_server_ends_end_on_the_other(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_one_server_ends_end_on_the_other_on_postgres() {
    tokens_that_one_server_ends_end_on_the_other(Engine::Postgres).await;
}
