//! The second factor as pure functions: the vectors of the RFC, windows, replays, recovery codes.

use aws_lc_rs::hmac;
use chrono::DateTime;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn email() -> Email {
    Email::parse("ada@example.org").unwrap()
}

fn secret(bytes: [u8; SECRET]) -> TotpSecret {
    TotpSecret::new(bytes, "Daybook", &email()).unwrap()
}

/// The secret of RFC 6238, appendix B.
const RFC: [u8; SECRET] = *b"12345678901234567890";

/// RFC 4226 written down once more, so that the library is not its own witness.
fn code_of(secret: &[u8], step: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[19] & 15);
    let number = u32::from_be_bytes([tag[at], tag[at + 1], tag[at + 2], tag[at + 3]]) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

fn at(micros: i64) -> Instant {
    DateTime::from_timestamp_micros(micros).unwrap()
}

fn on(bytes: [u8; SECRET], last_step: i64) -> FactorState {
    let factor = Factor { secret: Ok(secret(bytes)), last_step, since: at(0) };
    FactorState { on: Some(factor), ..FactorState::default() }
}

#[test]
fn the_vectors_of_the_rfc() {
    // Appendix B has eight digits; six are the last six of them.
    for (seconds, eight) in [
        (59, "94287082"),
        (1_111_111_109, "07081804"),
        (1_111_111_111, "14050471"),
        (1_234_567_890, "89005924"),
        (2_000_000_000, "69279037"),
        (20_000_000_000, "65353130"),
    ] {
        let (now, step) = (at(seconds * 1_000_000), seconds / 30);
        assert_eq!(code_of(&RFC, step), &eight[2..]);
        assert_eq!(secret(RFC).step_of(&eight[2..], now), Some(step));
    }
}

#[test]
fn a_secret_is_typed_and_scanned_and_does_not_print_itself() {
    let secret = secret(RFC);
    assert_eq!(secret.base32(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    let uri = secret.uri().unwrap();
    assert!(uri.starts_with("otpauth://totp/Daybook:ada%40example.org?"), "{uri}");
    for part in ["secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "issuer=Daybook"] {
        assert!(uri.contains(part), "{uri}");
    }
    let shown = format!("{secret:?} {:?}", on(RFC, 0));
    assert!(!shown.contains("GEZD") && !shown.contains("49, 50"), "{shown}");
    let codes = RecoveryCode::all(&[7; RECOVERY_RANDOM]);
    assert!(!format!("{codes:?}").contains(&codes[0].0));
    assert!(!format!("{:?}", PresentedFactor::Code("123456".to_owned())).contains("123456"));
}

#[test]
fn a_code_is_good_from_the_step_before_to_the_step_after() {
    let secret = secret(RFC);
    let (step, length) = (1_000_000_i64, 30_000_000_i64);
    let code = code_of(&RFC, step);
    for (micros, good) in [
        ((step - 1) * length - 1, false),
        ((step - 1) * length, true),
        (step * length, true),
        ((step + 2) * length - 1, true),
        ((step + 2) * length, false),
    ] {
        assert_eq!(secret.step_of(&code, at(micros)), good.then_some(step), "{micros}");
    }
    for bad in ["", "1", " 94287", "+94287", "9428708", "٩٤٢٨٧٠"] {
        assert_eq!(secret.step_of(bad, at(59_000_000)), None, "{bad}");
        assert!(!is_code(bad));
    }
}

#[test]
fn a_step_is_used_up_with_all_before_it() {
    let step = 1_000_000;
    let now = at(step * 30_000_000);
    let show = |last_step: i64, code: i64| {
        judge(&on(RFC, last_step), false, &PresentedFactor::Code(code_of(&RFC, code)), now)
    };
    assert!(matches!(show(step - 1, step), Verdict::Passed(_, Used::Step(used)) if used == step));
    assert!(matches!(show(step, step + 1), Verdict::Passed(..)), "the app's clock is ahead");
    for (last, code) in [(step, step), (step, step - 1), (step + 1, step), (step + 1, step + 1)] {
        assert!(matches!(show(last, code), Verdict::Wrong), "{last} {code}");
    }
}

#[test]
fn nobody_passes_without_what_is_needed() {
    let now = at(1_000_000 * 30_000_000);
    let code = || PresentedFactor::Code(code_of(&RFC, 1_000_000));
    let recovery = || PresentedFactor::Recovery(vec![[9; 32], [1; 32]]);
    let none = FactorState::default();
    let pending = FactorState { pending: Some(secret(RFC)), ..FactorState::default() };
    let left = FactorState { recovery: vec![[1; 32]], ..FactorState::default() };
    let on = FactorState { recovery: vec![[2; 32], [1; 32]], ..on(RFC, 0) };
    let word = |verdict: Verdict| match verdict {
        Verdict::Passed(_, Used::Nothing) => "nothing",
        Verdict::Passed(_, Used::Step(_)) => "step",
        Verdict::Passed(_, Used::Recovery(hash)) if hash == [1; 32] => "recovery",
        Verdict::Passed(_, Used::Recovery(_)) => "another recovery code",
        Verdict::Passed(_, Used::First(_)) => "first",
        Verdict::Needs(Need::Code) => "code?",
        Verdict::Needs(Need::Enrolment) => "enrolment?",
        Verdict::Wrong => "wrong",
        Verdict::Unreadable(_) => "unreadable",
    };
    for (standing, required, expected) in [
        (&none, false, ["nothing", "wrong", "wrong"]),
        (&none, true, ["enrolment?", "wrong", "wrong"]),
        (&pending, false, ["nothing", "wrong", "wrong"]),
        (&pending, true, ["enrolment?", "first", "wrong"]),
        (&left, true, ["enrolment?", "wrong", "wrong"]),
        (&on, false, ["code?", "step", "recovery"]),
        (&on, true, ["code?", "step", "recovery"]),
    ] {
        let shown = [PresentedFactor::Nothing, code(), recovery()];
        let words = shown.map(|shown| word(judge(standing, required, &shown, now)));
        assert_eq!(words, expected);
    }
    let goes = [(false, false), (false, true), (true, false), (true, true)];
    assert_eq!(goes.map(|(on, required)| go_on(on, required).is_some()), [true, false, true, true]);
}

#[test]
fn recovery_codes_read_back_however_they_are_typed() {
    let code = RecoveryCode::of(0x0123_4567_89ab_cdef);
    let text = code.text();
    assert_eq!(text.len(), 14);
    let typed = text.replace('0', "o").replace('1', "l").to_lowercase().replace('-', " ");
    for typed in [text.clone(), text.replace('-', ""), text.to_lowercase(), typed] {
        assert_eq!(RecoveryCode::parse(&typed), Some(code.clone()), "{typed}");
    }
    for bad in ["", "123456", &text[1..], &format!("{text}0"), "UUUU-UUUU-UUUU", "ÄÄÄÄ-ÄÄ"] {
        assert_eq!(RecoveryCode::parse(bad), None, "{bad}");
    }
    let of = |keys: &[[u8; 32]], user| {
        RecoveryHashes::new(keys).of(UserId(Uuid::from_u128(user)), &code)
    };
    assert_ne!(of(&[[1; 32]], 1), of(&[[1; 32]], 2));
    assert_ne!(of(&[[1; 32]], 1), of(&[[2; 32]], 1));
    // What was stored under an older key is still found.
    assert_eq!(of(&[[2; 32], [1; 32]], 1)[1], of(&[[1; 32]], 1)[0]);
}

proptest! {
    #[test]
    fn our_codes_are_the_librarys(bytes: [u8; SECRET], seconds in 0_i64..20_000_000_000) {
        let code = code_of(&bytes, seconds / 30);
        let found = secret(bytes).step_of(&code, at(seconds * 1_000_000)).unwrap();
        // One in a million codes is also that of the step before.
        prop_assert!(code_of(&bytes, found) == code && (found - seconds / 30).abs() <= 1);
    }

    #[test]
    fn all_sixty_bits_make_a_recovery_code(random: u64, bit in 0_u32..60) {
        let code = RecoveryCode::of(random);
        prop_assert_eq!(RecoveryCode::parse(&code.text()), Some(code.clone()));
        prop_assert_ne!(RecoveryCode::of(random ^ (1 << bit)), code);
    }
}

#[test]
fn of_a_secret_that_cannot_be_opened_only_recovery_codes_are_judged() {
    let factor = Factor { secret: Err(OpenError::OtherKey), last_step: 0, since: at(0) };
    let standing =
        FactorState { on: Some(factor), recovery: vec![[1; 32]], ..FactorState::default() };
    let verdict = |shown| judge(&standing, true, &shown, at(0));
    assert!(matches!(verdict(PresentedFactor::Nothing), Verdict::Needs(Need::Code)));
    assert!(matches!(verdict(PresentedFactor::Code("123456".to_owned())), Verdict::Unreadable(_)));
    assert!(matches!(verdict(PresentedFactor::Recovery(vec![[2; 32]])), Verdict::Wrong));
    let right = verdict(PresentedFactor::Recovery(vec![[1; 32]]));
    assert!(matches!(right, Verdict::Passed(_, Used::Recovery(hash)) if hash == [1; 32]));
}
