//! Whether a customer's answers are answers to a type's questions.

use super::{Answer, AnswerValue, Question, QuestionKind};
use crate::kernel::{fault::Violations, text};

/// The longest answer to a question for text, in characters.
pub const LONGEST_ANSWER: usize = 2000;

/// What a customer says to a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The id of the question.
    pub question: String,
    /// The answer, if one was given.
    pub value: Option<AnswerValue>,
}

/// The answers in the order of the questions, with the questions as they were asked. Everything that is
/// wrong with them is noted, under paths such as `answers[2].question`; then they are not of use.
///
/// There are no more replies than a type may have questions: the porch sees to that. What is missing is told under the
/// id of its question, such as `answers[topic]`. A question that need not be answered is left out, not
/// answered with nothing.
pub fn answers(
    questions: &[Question],
    replies: &[Reply],
    violations: &mut Violations,
) -> Vec<Answer> {
    for (index, reply) in replies.iter().enumerate() {
        let path = format!("answers[{index}]");
        let Some(question) = questions.iter().find(|q| q.id == reply.question) else {
            violations.add(format!("{path}.question"), "must be a question of the type");
            continue;
        };
        let before = replies.iter().take(index).position(|r| r.question == reply.question);
        if let Some(before) = before {
            let text = format!("must not be answered twice; answers[{before}] is to the same");
            violations.add(format!("{path}.question"), text);
        } else if let Err((field, text)) = check(&question.kind, reply.value.as_ref()) {
            violations.add(format!("{path}{field}"), text);
        }
    }
    let mut found = Vec::new();
    for question in questions {
        match replies.iter().find(|reply| reply.question == question.id) {
            Some(Reply { value: Some(value), .. }) => found.push(Answer {
                question: question.id.clone(),
                text: question.text.clone(),
                value: value.clone(),
            }),
            None if question.required => {
                let path = format!("answers[{}]", question.id);
                violations.add(path, format!("must have one to the question {}", question.id));
            }
            // Told above, or need not be answered.
            Some(Reply { value: None, .. }) | None => {}
        }
    }
    found
}

/// The part of the answer that is wrong, and what would be right.
fn check(kind: &QuestionKind, value: Option<&AnswerValue>) -> Result<(), (&'static str, String)> {
    match (kind, value) {
        (QuestionKind::Text, Some(AnswerValue::Text(text))) => {
            text::filled(text, LONGEST_ANSWER).map(drop).map_err(|why| (".text_value", why))
        }
        (QuestionKind::Number, Some(AnswerValue::Number(number))) if !number.is_finite() => {
            Err((".number_value", "must be a finite number".to_owned()))
        }
        (QuestionKind::Choice(choices), Some(AnswerValue::Choice(choice)))
            if !choices.contains(choice) =>
        {
            Err((".choice_value", "must be one of the question's choices".to_owned()))
        }
        (QuestionKind::Number, Some(AnswerValue::Number(_)))
        | (QuestionKind::Choice(_), Some(AnswerValue::Choice(_)))
        | (QuestionKind::YesNo, Some(AnswerValue::YesNo(_))) => Ok(()),
        (QuestionKind::Text, _) => Err(("", "must have a text_value".to_owned())),
        (QuestionKind::Number, _) => Err(("", "must have a number_value".to_owned())),
        (QuestionKind::Choice(_), _) => Err(("", "must have a choice_value".to_owned())),
        (QuestionKind::YesNo, _) => Err(("", "must have a yes_no_value".to_owned())),
    }
}
