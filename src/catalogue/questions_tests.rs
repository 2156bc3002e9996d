use proptest::{collection::vec, option, prelude::*};

use super::{questions::*, *};
use crate::kernel::fault::{Fault, Reason, Violations};

fn answers(questions: &[Question], replies: &[Reply]) -> Result<Vec<Answer>, Fault> {
    let mut violations = Violations::new();
    let found = super::questions::answers(questions, replies, &mut violations);
    violations.finish().map(|()| found)
}

fn asked() -> Vec<Question> {
    let question = |id: &str, kind, required| Question {
        id: id.to_owned(),
        text: format!("What about {id}?"),
        kind,
        required,
    };
    let sizes = QuestionKind::Choice(vec!["small".to_owned(), "large".to_owned()]);
    vec![
        question("why", QuestionKind::Text, true),
        question("age", QuestionKind::Number, false),
        question("size", sizes, false),
        question("first_visit", QuestionKind::YesNo, true),
    ]
}

fn reply(question: &str, value: AnswerValue) -> Reply {
    Reply { question: question.to_owned(), value: Some(value) }
}

fn text(value: &str) -> AnswerValue {
    AnswerValue::Text(value.to_owned())
}

fn choice(value: &str) -> AnswerValue {
    AnswerValue::Choice(value.to_owned())
}

/// What is needed, and then these.
fn with(more: Vec<Reply>) -> Vec<Reply> {
    let mut all = vec![reply("why", text("pain")), reply("first_visit", AnswerValue::YesNo(true))];
    all.extend(more);
    all
}

#[track_caller]
fn wrong(replies: &[Reply]) -> Vec<String> {
    let fault = answers(&asked(), replies).unwrap_err();
    assert_eq!(fault.reason(), Reason::InvalidFields);
    fault.fields().iter().map(|violation| violation.field.clone()).collect()
}

#[test]
fn answers_come_in_the_order_of_the_questions_and_say_what_was_asked() {
    let replies =
        with(vec![reply("size", choice("large")), reply("age", AnswerValue::Number(7.5))]);
    let found = answers(&asked(), &replies).unwrap();
    let ids: Vec<_> = found.iter().map(|answer| answer.question.as_str()).collect();
    assert_eq!(ids, ["why", "age", "size", "first_visit"]);
    assert_eq!(found[2].text, "What about size?");
    assert_eq!(found[2].value, choice("large"));
    assert_eq!(answers(&asked(), &with(vec![])).unwrap().len(), 2);
    assert_eq!(answers(&[], &[]).unwrap(), []);
}

#[test]
fn every_wrong_answer_is_told_by_its_path() {
    for (bad, field) in [
        (reply("", text("x")), "answers[2].question"),
        (reply("WHY", text("x")), "answers[2].question"),
        (reply("why", text("again")), "answers[2].question"),
        (reply("age", text("7")), "answers[2]"),
        (reply("age", AnswerValue::Number(f64::NAN)), "answers[2].number_value"),
        (reply("age", AnswerValue::Number(f64::NEG_INFINITY)), "answers[2].number_value"),
        (reply("size", choice("Small")), "answers[2].choice_value"),
        (reply("size", choice("")), "answers[2].choice_value"),
        (reply("size", text("small")), "answers[2]"),
        (reply("size", AnswerValue::YesNo(true)), "answers[2]"),
        (Reply { question: "age".to_owned(), value: None }, "answers[2]"),
    ] {
        assert_eq!(wrong(&with(vec![bad.clone()])), [field], "{bad:?}");
    }
    let visit = || reply("first_visit", AnswerValue::YesNo(false));
    for bad in ["", " \n ", "\u{200b}", "a\0b", &"é".repeat(2001)] {
        assert_eq!(
            wrong(&[visit(), reply("why", text(bad))]),
            ["answers[1].text_value"],
            "{bad:?}"
        );
    }
    let longest = "é".repeat(2000);
    answers(&asked(), &[visit(), reply("why", text(&longest))]).unwrap();
    let none = Reply { question: "first_visit".to_owned(), value: None };
    assert_eq!(wrong(&[reply("why", text("x")), none]), ["answers[1]"]);
}

#[test]
fn what_is_missing_is_told_and_all_at_once() {
    assert_eq!(wrong(&[]), ["answers[why]", "answers[first_visit]"]);
    let fault = answers(&asked(), &[]).unwrap_err();
    assert!(fault.fields()[1].description.contains("first_visit"));
    assert_eq!(
        wrong(&[reply("age", text("7")), reply("other", text("x")), reply("age", text("8"))]),
        [
            "answers[0]",
            "answers[1].question",
            "answers[2].question",
            "answers[why]",
            "answers[first_visit]"
        ]
    );
}

fn value() -> impl Strategy<Value = AnswerValue> {
    prop_oneof![
        "[a-z ]{0,6}".prop_map(AnswerValue::Text),
        any::<f64>().prop_map(AnswerValue::Number),
        prop_oneof!["small", "large", "[a-z]{3}"].prop_map(AnswerValue::Choice),
        any::<bool>().prop_map(AnswerValue::YesNo),
    ]
}

proptest! {
    #[test]
    fn accepted_answers_are_complete_fit_and_are_the_given_ones(
        replies in vec((prop_oneof!["why", "age", "size", "first_visit", "x"], option::of(value())), 0..6)
    ) {
        let replies: Vec<Reply> =
            replies.into_iter().map(|(question, value)| Reply { question, value }).collect();
        let Ok(found) = answers(&asked(), &replies) else { return Ok(()) };
        prop_assert_eq!(found.len(), replies.len());
        for question in asked() {
            let answer = found.iter().find(|answer| answer.question == question.id);
            prop_assert!(answer.is_some() || !question.required);
            let Some(answer) = answer else { continue };
            let given = replies.iter().find(|reply| reply.question == question.id).unwrap();
            prop_assert_eq!(given.value.as_ref(), Some(&answer.value));
            let fits = match (&question.kind, &answer.value) {
                (QuestionKind::Text, AnswerValue::Text(text)) => !text.trim().is_empty(),
                (QuestionKind::Number, AnswerValue::Number(number)) => number.is_finite(),
                (QuestionKind::Choice(all), AnswerValue::Choice(one)) => all.contains(one),
                (QuestionKind::YesNo, AnswerValue::YesNo(_)) => true,
                _ => false,
            };
            prop_assert!(fits);
        }
    }
}
