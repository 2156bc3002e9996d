use chrono::NaiveDate;
use proptest::{collection::vec, option, prelude::*};

use super::{check::*, *};
use crate::kernel::fault::{Fault, Reason, Violations};

/// A type with nothing but what it needs.
fn plain() -> Terms {
    Terms {
        display_name: "Check-up".to_owned(),
        description: String::new(),
        durations: vec![30],
        buffer_before: 0,
        buffer_after: 0,
        slot_step: None,
        grid_offset: 0,
        minimum_notice: 0,
        horizon: None,
        limits: Limits::default(),
        cancel_cutoff: 0,
        reschedule_cutoff: 0,
        requires_approval: false,
        request_expiry: REQUEST_EXPIRY,
        price: String::new(),
        place: String::new(),
        questions: Vec::new(),
        private: false,
    }
}

fn mins(count: i64) -> TimeDelta {
    TimeDelta::minutes(count)
}

fn fields(fault: &Fault) -> Vec<String> {
    assert_eq!(fault.reason(), Reason::InvalidFields);
    let strip = |field: &str| field.strip_prefix("appointment_type.").unwrap().to_owned();
    fault.fields().iter().map(|violation| strip(&violation.field)).collect()
}

/// The fields that are wrong when the plain type is changed like this.
#[track_caller]
fn wrong(change: impl FnOnce(&mut Draft)) -> Vec<String> {
    let mut draft = Draft::of(&plain());
    change(&mut draft);
    draft.terms().map_or_else(|fault| fields(&fault), |_| Vec::new())
}

/// The terms when the plain type is changed like this, which is valid.
#[track_caller]
fn right(change: impl FnOnce(&mut Draft)) -> Terms {
    let mut draft = Draft::of(&plain());
    change(&mut draft);
    draft.terms().unwrap_or_else(|fault| panic!("{fault}"))
}

#[test]
fn texts_have_their_lengths() {
    assert_eq!(right(|d| d.display_name = Some("  A  ".to_owned())).display_name, "A");
    for bad in ["", " ", "a\nb", "\u{200b}", &"x".repeat(101)] {
        assert_eq!(wrong(|d| d.display_name = Some(bad.to_owned())), ["display_name"], "{bad:?}");
    }
    let long = |count| Some("é".repeat(count));
    right(|d| {
        d.display_name = long(100);
        d.description = long(2000);
        d.price = long(100);
        d.place = long(500);
    });
    assert_eq!(wrong(|d| d.description = long(2001)), ["description"]);
    assert_eq!(wrong(|d| d.price = long(101)), ["price"]);
    assert_eq!(wrong(|d| d.place = long(501)), ["place"]);
    assert_eq!(wrong(|d| d.place = Some("\0".to_owned())), ["place"]);
}

#[test]
fn durations_are_one_to_twenty_that_differ() {
    let with = |all: &[i64]| Some(all.iter().copied().map(mins).collect::<Vec<_>>());
    assert_eq!(right(|d| d.durations = with(&[60, 5, 1440])).durations, [60, 5, 1440]);
    let many: Vec<i64> = (5..26).collect();
    right(|d| d.durations = with(&many[..20]));
    assert_eq!(wrong(|d| d.durations = with(&many)), ["durations"]);
    assert_eq!(wrong(|d| d.durations = with(&[])), ["durations"]);
    assert_eq!(
        wrong(|d| d.durations = with(&[4, 30, 1441, 30, 0, -30])),
        ["durations[0]", "durations[2]", "durations[3]", "durations[4]", "durations[5]"]
    );
    let odd = [TimeDelta::seconds(1801), TimeDelta::nanoseconds(1_800_000_000_001), TimeDelta::MAX];
    assert_eq!(
        wrong(|d| d.durations = Some(odd.to_vec())),
        ["durations[0]", "durations[1]", "durations[2]"]
    );
}

#[test]
fn lengths_have_their_ranges() {
    // The field, the ends of its range, and a draft with it.
    type Set = fn(&mut Draft, TimeDelta);
    let rows: [(&str, i64, i64, Set); 7] = [
        ("buffer_before", 0, 240, |d, l| d.buffer_before = Some(l)),
        ("buffer_after", 0, 240, |d, l| d.buffer_after = Some(l)),
        ("slot_step", 5, 1440, |d, l| d.slot_step = Some(Given(Some(l)))),
        ("minimum_notice", 0, 365 * 1440, |d, l| d.minimum_notice = Some(l)),
        ("cancel_cutoff", 0, 365 * 1440, |d, l| d.cancel_cutoff = Some(l)),
        ("reschedule_cutoff", 0, 365 * 1440, |d, l| d.reschedule_cutoff = Some(l)),
        ("request_expiry", 5, 30 * 1440, |d, l| d.request_expiry = Some(l)),
    ];
    for (field, least, most, set) in rows {
        for good in [least, most] {
            right(|d| set(d, mins(good)));
        }
        let second = TimeDelta::seconds(1);
        for bad in [mins(least - 1), mins(most + 1), mins(most) - second, -mins(60), TimeDelta::MAX]
        {
            assert_eq!(wrong(|d| set(d, bad)), [field], "{bad}");
        }
    }
}

#[test]
fn the_grid_begins_before_its_first_step_ends() {
    let offset = |minutes: i64| {
        move |d: &mut Draft| {
            d.grid_offset = Some(mins(minutes));
        }
    };
    // Without a step, the first duration is the step.
    right(offset(29));
    assert_eq!(wrong(offset(30)), ["grid_offset"]);
    assert_eq!(wrong(offset(-1)), ["grid_offset"]);
    let stepped = |step: i64, minutes: i64| {
        move |d: &mut Draft| {
            d.slot_step = Some(Given(Some(mins(step))));
            d.grid_offset = Some(mins(minutes));
        }
    };
    right(stepped(60, 59));
    assert_eq!(wrong(stepped(15, 15)), ["grid_offset"]);
    // Against a step that is none there is nothing to say.
    assert_eq!(wrong(stepped(4, 20)), ["slot_step"]);
}

#[test]
fn a_horizon_can_be_met_by_the_notice() {
    let rolling = |days: u32, notice: i64| {
        move |d: &mut Draft| {
            d.horizon = Some(Given(Some(Horizon::RollingDays(days))));
            d.minimum_notice = Some(mins(notice));
        }
    };
    right(rolling(0, 1439));
    assert_eq!(wrong(rolling(0, 1440)), ["minimum_notice"]);
    right(rolling(6, 7 * 1440 - 1));
    assert_eq!(wrong(rolling(6, 7 * 1440)), ["minimum_notice"]);
    right(rolling(3650, 0));
    assert_eq!(wrong(rolling(3651, 0)), ["rolling_days"]);
    assert_eq!(wrong(rolling(u32::MAX, 0)), ["rolling_days"]);
    let date = |day| NaiveDate::from_ymd_opt(2026, 12, day).unwrap();
    let fixed = |first, last| {
        move |d: &mut Draft| {
            let horizon = Horizon::Fixed { first: date(first), last: date(last) };
            d.horizon = Some(Given(Some(horizon)));
            d.minimum_notice = Some(mins(365 * 1440));
        }
    };
    right(fixed(1, 1));
    assert_eq!(wrong(fixed(2, 1)), ["fixed_window.end_date"]);
}

#[test]
fn limits_have_their_ranges_and_allow_every_duration() {
    let with = |limits: LimitsDraft| move |d: &mut Draft| d.limits = Some(limits);
    let none = LimitsDraft::default();
    assert_eq!(right(with(none)).limits, Limits::default());
    let all = LimitsDraft {
        per_day: 1,
        per_week: 1000,
        time_per_day: mins(1440),
        time_per_week: mins(168 * 60),
        open_per_customer: 1000,
    };
    let limits = Limits {
        per_day: Some(1),
        per_week: Some(1000),
        minutes_per_day: Some(1440),
        minutes_per_week: Some(168 * 60),
        open_per_customer: Some(1000),
    };
    assert_eq!(right(with(all)).limits, limits);
    let bad = LimitsDraft {
        per_day: -1,
        per_week: 1001,
        time_per_day: mins(1441),
        time_per_week: mins(168 * 60 + 1),
        open_per_customer: i32::MIN,
    };
    let mut told = wrong(with(bad));
    told.sort();
    assert_eq!(
        told,
        [
            "limits.open_per_customer",
            "limits.per_provider_day",
            "limits.per_provider_week",
            "limits.time_per_provider_day",
            "limits.time_per_provider_week",
        ]
    );
    for short in [
        LimitsDraft { time_per_day: mins(29), ..none },
        LimitsDraft { time_per_week: mins(29), time_per_day: mins(60), ..none },
    ] {
        assert_eq!(wrong(with(short)), ["durations[0]"]);
    }
    right(with(LimitsDraft { time_per_day: mins(30), ..none }));
}

#[test]
fn questions_are_told_apart_and_have_what_their_kind_needs() {
    let question = |id: &str, kind: Option<check::AnswerFormat>, choices: &[&str]| QuestionDraft {
        id: id.to_owned(),
        text: "Why?".to_owned(),
        kind,
        required: true,
        choices: choices.iter().map(|choice| (*choice).to_owned()).collect(),
    };
    let text = Some(check::AnswerFormat::Text);
    let choice = Some(check::AnswerFormat::Choice);
    let with = |all: Vec<QuestionDraft>| move |d: &mut Draft| d.questions = Some(all);
    let kept = right(with(vec![question("a_1", text, &[]), question("b", choice, &[" x ", "+"])]));
    assert_eq!(kept.questions[1].kind, QuestionKind::Choice(vec!["x".to_owned(), "+".to_owned()]));
    for bad in ["", "A", "a-b", "é", "a b", &"a".repeat(41)] {
        assert_eq!(wrong(with(vec![question(bad, text, &[])])), ["questions[0].id"], "{bad}");
    }
    right(with(vec![question(&"a".repeat(40), text, &[])]));
    assert_eq!(
        wrong(with(vec![question("a", text, &[]), question("a", text, &[])])),
        ["questions[1].id"]
    );
    assert_eq!(wrong(with(vec![question("a", None, &[])])), ["questions[0].kind"]);
    assert_eq!(wrong(with(vec![question("a", text, &["x"])])), ["questions[0].choices"]);
    assert_eq!(wrong(with(vec![question("a", choice, &[])])), ["questions[0].choices"]);
    let long = "x".repeat(201);
    let bad = question("a", choice, &["", "y", "y ", &long, "z\nz", &long[1..]]);
    assert_eq!(
        wrong(with(vec![bad])),
        [
            "questions[0].choices[0]",
            "questions[0].choices[2]",
            "questions[0].choices[3]",
            "questions[0].choices[4]",
        ]
    );
    let names: Vec<String> = (0..51).map(|n| format!("q{n}")).collect();
    let refs: Vec<&str> = names.iter().map(String::as_str).collect();
    right(with(vec![question("a", choice, &refs[..50])]));
    assert_eq!(wrong(with(vec![question("a", choice, &refs)])), ["questions[0].choices"]);
    let many = |count: usize| refs[..count].iter().map(|id| question(id, text, &[])).collect();
    right(with(many(50)));
    assert_eq!(wrong(with(many(51))), ["questions"]);
    for bad in ["", "  \n", "\u{200b}", "a\0", &"x".repeat(501)] {
        let asked = QuestionDraft { text: bad.to_owned(), ..question("a", text, &[]) };
        assert_eq!(wrong(with(vec![asked])), ["questions[0].text"], "{bad:?}");
    }
}

#[test]
fn everything_is_told_at_once() {
    let told = wrong(|d| {
        d.display_name = Some(String::new());
        d.durations = Some(vec![mins(30), mins(1)]);
        d.buffer_after = Some(mins(241));
        d.grid_offset = Some(mins(30));
        d.minimum_notice = Some(mins(2000));
        d.horizon = Some(Given(Some(Horizon::RollingDays(0))));
        d.limits = Some(LimitsDraft { per_day: -1, ..LimitsDraft::default() });
        d.request_expiry = Some(mins(0));
    });
    assert_eq!(
        told,
        [
            "display_name",
            "durations[1]",
            "buffer_after",
            "request_expiry",
            "grid_offset",
            "minimum_notice",
            "limits.per_provider_day",
        ]
    );
}

#[test]
fn a_change_is_checked_with_what_it_leaves() {
    let stored = Terms { grid_offset: 20, ..plain() };
    let shorter = Draft { durations: Some(vec![mins(20)]), ..Draft::default() };
    // By itself there is nothing wrong with it.
    let mut violations = Violations::new();
    shorter.check(&mut violations);
    assert!(violations.finish().is_ok());
    let fault = shorter.clone().over(Draft::of(&stored)).terms().unwrap_err();
    assert_eq!(fields(&fault), ["grid_offset"]);
    let moved = Draft { grid_offset: Some(mins(0)), ..shorter };
    let changed = moved.over(Draft::of(&stored)).terms().unwrap();
    assert_eq!(changed, Terms { durations: vec![20], ..plain() });
    assert_eq!(Draft::default().over(Draft::of(&stored)).terms().unwrap(), stored);
}

fn questions() -> impl Strategy<Value = Vec<Question>> {
    let choices = vec("[a-zA-Z ]{0,5}[a-z]", 1..4).prop_map(|mut all| {
        for choice in &mut all {
            *choice = choice.trim().to_owned();
        }
        all.sort();
        all.dedup();
        QuestionKind::Choice(all)
    });
    let kind = prop_oneof![
        Just(QuestionKind::Text),
        Just(QuestionKind::Number),
        Just(QuestionKind::YesNo),
        choices,
    ];
    vec(("[A-Z][a-z ]{0,20}[?]", kind, any::<bool>()), 0..5).prop_map(|all| {
        let number = |(index, (text, kind, required))| {
            let id = format!("q_{index}");
            Question { id, text, kind, required }
        };
        all.into_iter().enumerate().map(number).collect()
    })
}

prop_compose! {
    fn terms()(
        display_name in "[A-Za-z0-9][A-Za-zé ]{0,20}[a-z]",
        durations in proptest::sample::subsequence(vec![5_u32, 15, 20, 30, 45, 60, 90], 1..=7)
            .prop_shuffle(),
        (buffer_before, buffer_after) in (0..=240_u32, 0..=240_u32),
        slot_step in option::of(5..=1440_u32),
        grid in 0.0..1.0_f64,
        minimum_notice in 0..=1440_u32,
        days in option::of(0..=3650_u32),
        (per_day, per_week, open_per_customer) in
            (option::of(1..=1000_u32), option::of(1..=1000_u32), option::of(1..=1000_u32)),
        (minutes_per_day, minutes_per_week) in
            (option::of(90..=1440_u32), option::of(90..=10080_u32)),
        (cancel_cutoff, reschedule_cutoff) in (0..=525_600_u32, 0..=525_600_u32),
        request_expiry in 5..=43_200_u32,
        questions in questions(),
        (requires_approval, private) in (any::<bool>(), any::<bool>()),
    ) -> Terms {
        let step = slot_step.unwrap_or(durations[0]);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of it")]
        let grid_offset = (f64::from(step) * grid) as u32;
        Terms {
            display_name, durations, buffer_before, buffer_after, slot_step, grid_offset,
            minimum_notice, horizon: days.map(Horizon::RollingDays), cancel_cutoff,
            reschedule_cutoff, requires_approval, request_expiry, questions, private,
            limits: Limits {
                per_day, per_week, minutes_per_day, minutes_per_week, open_per_customer,
            },
            ..plain()
        }
    }
}

fn any_length() -> impl Strategy<Value = TimeDelta> {
    // Mostly what is in range, so that often enough nothing is wrong.
    prop_oneof![
        40 => (5..=240_i64).prop_map(TimeDelta::minutes),
        2 => (-10..=1500_i64).prop_map(TimeDelta::minutes),
        1 => (-100_000..=100_000_i64).prop_map(TimeDelta::seconds),
        1 => Just(TimeDelta::MAX),
    ]
}

proptest! {
    #[test]
    fn valid_terms_survive_their_draft(terms in terms()) {
        prop_assert_eq!(Draft::of(&terms).terms().unwrap(), terms.clone());
        // And their row.
        let row = serde_json::to_string(&terms).unwrap();
        prop_assert_eq!(serde_json::from_str::<Terms>(&row).unwrap(), terms);
    }

    #[test]
    fn whatever_is_accepted_keeps_the_rules(
        durations in vec(any_length(), 0..5),
        step in option::of(any_length()),
        lengths in vec(any_length(), 4),
        days in any::<u32>(),
        limits in (0..1010_i32, any_length(), any_length()),
    ) {
        let draft = Draft {
            durations: Some(durations),
            slot_step: Some(Given(step)),
            grid_offset: Some(lengths[0]),
            minimum_notice: Some(lengths[1]),
            buffer_before: Some(lengths[2]),
            request_expiry: Some(lengths[3]),
            horizon: Some(Given(Some(Horizon::RollingDays(days % 4000)))),
            limits: Some(LimitsDraft {
                per_day: limits.0,
                time_per_day: limits.1,
                time_per_week: limits.2,
                ..LimitsDraft::default()
            }),
            ..Draft::default()
        };
        // Each is told by the same rules, whether alone or among others.
        let mut alone = Violations::new();
        draft.check(&mut alone);
        let whole = draft.over(Draft::of(&plain())).terms();
        prop_assert_eq!(alone.finish().is_ok(), whole.is_ok());
        if let Ok(terms) = whole {
            prop_assert!(!terms.durations.is_empty());
            prop_assert!(terms.durations.iter().all(|d| (5..=1440).contains(d)));
            prop_assert!(minutes(terms.grid_offset) < terms.step());
            prop_assert!(terms.buffer_before <= 240);
            let longest = terms.durations.iter().max().unwrap();
            prop_assert!(terms.limits.minutes_per_day.is_none_or(|most| most >= *longest));
            prop_assert!(terms.limits.minutes_per_week.is_none_or(|most| most >= *longest));
            let Some(Horizon::RollingDays(days)) = terms.horizon else { panic!() };
            prop_assert!(terms.minimum_notice <= (days + 1) * 1440);
        }
    }
}
