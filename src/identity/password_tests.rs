use super::{super::pepper, *};

fn quick() -> Settings {
    Settings {
        memory_kib: 19456,
        iterations: 2,
        parallelism: 1,
        workers: 1,
        queue: 1,
        peppers: Vec::new(),
        demand: CallCounter::default(),
    }
}

#[tokio::test]
async fn a_password_verifies_exactly() {
    let hasher = Hasher::new(quick()).unwrap();
    let stored = hasher.hash("pass wörd\0".into()).await.unwrap();
    assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
    for same in ["pass wörd\0", "pass wo\u{308}rd\0", "pass\u{3000}wörd\0"] {
        assert!(hasher.verify(same.into(), Some(stored.clone())).await.unwrap(), "{same:?}");
    }
    for other in ["pass wörd", "Pass wörd\0", "pass wörd\0 ", "passwörd\0", ""] {
        assert!(!hasher.verify(other.into(), Some(stored.clone())).await.unwrap());
    }
    assert!(!hasher.verify("decoy".into(), None).await.unwrap());
    assert!(!hasher.is_outdated(&hasher.0.decoy), "the decoy costs as much");
    assert!(!hasher.is_outdated(&stored));
    let dearer = Hasher::new(Settings { iterations: 3, ..quick() }).unwrap();
    assert!(dearer.is_outdated(&stored));
}

/// Only as it was sent: what it is when it is prepared was never hashed.
#[tokio::test]
async fn an_unprepared_hash_is_verified_as_before() {
    use argon2::password_hash::PasswordHasher as _;
    let (sent, prepared) = ("pass wo\u{308}rd", "pass wörd");
    let params = Params::new(19456, 2, 1, None).unwrap();
    let theirs = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let stored = theirs.hash_password(sent.as_bytes()).unwrap().to_string();
    let hasher = Hasher::new(quick()).unwrap();
    assert!(hasher.verify(sent.into(), Some(stored.clone())).await.unwrap());
    assert!(!hasher.verify(prepared.into(), Some(stored.clone())).await.unwrap());
    assert!(hasher.is_outdated(&stored));
}

/// The crate's own way, with memory of its own.
#[tokio::test]
async fn hashes_are_those_of_the_crate_whatever_the_memory_held() {
    use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
    let hasher = Hasher::new(quick()).unwrap();
    let theirs = |iterations| {
        let params = Params::new(19456, iterations, 1, None).unwrap();
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
    };
    for iterations in [2, 3, 2] {
        let argon2 = theirs(iterations);
        let stored = argon2.hash_password(b"secret").unwrap().to_string();
        let (one, other) = tokio::join!(
            hasher.verify("secret".into(), Some(stored.clone())),
            hasher.verify("Secret".into(), Some(stored)),
        );
        assert!(one.unwrap() && !other.unwrap());
        let ours = hasher.hash("secret".into()).await.unwrap();
        theirs(2).verify_password(b"secret", ours.as_str()).unwrap();
    }
    let foreign =
        Argon2::new(Algorithm::Argon2i, Version::V0x13, Params::new(19456, 2, 1, None).unwrap());
    let foreign = foreign.hash_password(b"secret").unwrap().to_string();
    assert!(hasher.verify("secret".into(), Some(foreign)).await.is_err());
}

#[tokio::test]
async fn a_pepper_is_needed_to_verify_and_can_be_changed() {
    let peppers = |text: &str| pepper::read(text).unwrap();
    let first = "2026a AAECAwQFBgcICQoLDA0ODw==\n";
    let both = format!("2026b EBESExQVFhcYGRobHB0eHw==\n{first}");
    let with = |text: &str| Hasher::new(Settings { peppers: peppers(text), ..quick() }).unwrap();
    let (none, old, new) = (Hasher::new(quick()).unwrap(), with(first), with(&both));
    let plain = none.hash("secret".into()).await.unwrap();
    let stored = old.hash("secret".into()).await.unwrap();
    assert!(stored.contains("keyid="), "{stored}");
    // Hashes from before there was a pepper, and with the one before, still verify.
    for hasher in [&old, &new] {
        assert!(hasher.verify("secret".into(), Some(plain.clone())).await.unwrap());
        assert!(hasher.verify("secret".into(), Some(stored.clone())).await.unwrap());
        assert!(!hasher.verify("other".into(), Some(stored.clone())).await.unwrap());
    }
    assert!(old.is_outdated(&plain) && new.is_outdated(&stored) && !old.is_outdated(&stored));
    // Without the pepper nobody can even try.
    assert!(none.verify("secret".into(), Some(stored.clone())).await.is_err());
    let forged = with("2026a EBESExQVFhcYGRobHB0eHw==");
    assert!(!forged.verify("secret".into(), Some(stored)).await.unwrap());
}

#[tokio::test]
async fn more_than_the_queue_holds_is_refused() {
    let hasher = Hasher::new(quick()).unwrap();
    let all = futures_util::future::join_all((0..8).map(|_| hasher.hash("x".into()))).await;
    let done = all.iter().filter(|r| r.is_ok()).count();
    // One worker and one waiting, and those that come when one of these is done.
    assert!((2..8).contains(&done), "{done}");
}

#[test]
fn what_is_common_or_near_is_weak() {
    let own = ["Ada Lovelace", "ada.lovelace@example.org", "daybook"];
    let weak = [
        "password",
        "12345678",
        "123456789",
        "qwertyuiop",
        "iloveyou",
        "sunshine",
        "princess1",
        "football",
        "baseball1",
        "welcome1",
        "passw0rd",
        "p@ssword",
        "Password1!",
        "letmein123",
        "trustno1!",
        "superman",
        "michael1",
        "starwars",
        "whatever",
        "computer",
        "jennifer",
        "1qaz2wsx",
        "zaq12wsx",
        "asdfghjkl",
        "q1w2e3r4t5",
        "aaaaaaaa",
        "abcabcabc",
        "abcdefgh",
        "11111111",
        "19841984",
        "20261123",
        "dragon123",
        "monkey123",
        "changeme",
        "administrator",
        "adalovelace",
        "lovelace1",
        "ada.lovelace",
        "daybook1",
        "Daybook!",
        "ecnalevol",
        "L0velace",
    ];
    for weak in weak {
        assert!(weakness(weak, &own, 3).is_some(), "{weak}");
    }
    let good = [
        "correct horse battery",
        "vB7#mQ9!xZ2k",
        "wenn der Regen fällt",
        "日本語のパスワード長い",
        "tulip-anvil-moss",
    ];
    for good in good {
        assert_eq!(weakness(good, &own, 3), None, "{good}");
    }
}

#[test]
fn lengths_are_told_before_hashing() {
    assert!(check(&"1234567".into(), 8).is_err());
    assert!(check(&"éééééééé".into(), 8).is_ok());
    assert!(check(&"a".repeat(256).into(), 8).is_ok());
    assert!(check(&"a".repeat(257).into(), 8).is_err());
    assert!(check(&"a".repeat(1 << 20).into(), 8).is_err());
    // Counted as they are hashed.
    assert!(check(&"e\u{301}".repeat(7).into(), 8).is_err());
    assert!(check(&"e\u{301}".repeat(256).into(), 8).is_ok());
    assert!(check(&"tab\tin it".into(), 8).unwrap_err().contains("U+0009"));
    assert!(check_given(&"tab\tin it".into(), 1).is_ok());
    // Four bytes, and three characters when it is prepared: once a password of the longest.
    assert!(check_given(&"\u{1d15e}".repeat(256).into(), 1).is_ok());
    assert!(check_given(&"a".repeat(257).into(), 1).is_err());
}
