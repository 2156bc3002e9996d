//! Emails as mail clients show them: templates in plain text, each with its subject in the first line.
//!
//! The texts stand in `templates/`; an operator puts files of the same names into a folder of their own.
//! Beside the fields of the text a template knows `practice`, and `link` where there is a page for the code.

use minijinja::{Environment, UndefinedBehavior, value::Value};
use serde_json::{Map, Value as Json};

use super::{Contents, EmailTemplate};

/// The texts that come with Daybook, by the names of their templates.
pub const TEMPLATES: [(&str, &str); 21] = [
    ("confirm_sign_up", include_str!("templates/confirm_sign_up.txt")),
    ("verify_email", include_str!("templates/verify_email.txt")),
    ("account_exists", include_str!("templates/account_exists.txt")),
    ("reset_password", include_str!("templates/reset_password.txt")),
    ("confirm_email_change", include_str!("templates/confirm_email_change.txt")),
    ("address_in_use", include_str!("templates/address_in_use.txt")),
    ("email_change_requested", include_str!("templates/email_change_requested.txt")),
    ("email_changed", include_str!("templates/email_changed.txt")),
    ("password_changed", include_str!("templates/password_changed.txt")),
    ("new_log_in", include_str!("templates/new_log_in.txt")),
    ("second_factor_on", include_str!("templates/second_factor_on.txt")),
    ("second_factor_replaced", include_str!("templates/second_factor_replaced.txt")),
    ("second_factor_off", include_str!("templates/second_factor_off.txt")),
    ("second_factor_reset", include_str!("templates/second_factor_reset.txt")),
    ("recovery_codes_made", include_str!("templates/recovery_codes_made.txt")),
    ("recovery_code_used", include_str!("templates/recovery_code_used.txt")),
    ("account_deleted", include_str!("templates/account_deleted.txt")),
    ("account_erased", include_str!("templates/account_erased.txt")),
    ("appointments_drifted", include_str!("templates/appointments_drifted.txt")),
    ("invitation", include_str!("templates/invitation.txt")),
    ("account_merged", include_str!("templates/account_merged.txt")),
];

const SUBJECT: &str = "Subject: ";

/// An email, ready to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Subject line.
    pub subject: String,
    /// Body, plain text.
    pub body: String,
}

// The body may hold a code.
impl std::fmt::Debug for Rendered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rendered")
    }
}

/// The templates, read and tried out.
#[derive(Debug, Clone)]
pub struct TemplateSet {
    environment: Environment<'static>,
    practice: String,
    pages_url: Option<String>,
}

impl TemplateSet {
    /// With the practice's name, the web pages that take codes, and the operator's own templates by name.
    /// An error says which of these does not do, and why.
    pub fn new(
        practice: String,
        pages_url: Option<String>,
        own: Vec<(String, String)>,
    ) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, text) in TEMPLATES {
            environment.add_template(name, text).map_err(|e| format!("{name}: {e}"))?;
        }
        for (name, text) in own {
            if TEMPLATES.iter().all(|(known, _)| *known != name) {
                let known: Vec<_> = TEMPLATES.iter().map(|(name, _)| *name).collect();
                return Err(format!("{name} is no template; there are {}", known.join(", ")));
            }
            environment
                .add_template_owned(name.clone(), text)
                .map_err(|e| format!("{name}: {e}"))?;
        }
        let texts = Self { environment, practice, pages_url };
        for text in samples() {
            let made = texts.render(&text)?;
            if let Some((code, _)) = text.code()
                && !made.subject.contains(code)
                && !made.body.contains(code)
            {
                let name = text.kind();
                return Err(format!(
                    "{name}: shows no code; write {{{{ code }}}}, or {{{{ link }}}} where there is a page"
                ));
            }
        }
        Ok(texts)
    }

    /// The email with these contents; nothing where they say nothing.
    pub fn letter(&self, contents: &Contents) -> Result<Option<Rendered>, String> {
        if contents.text == EmailTemplate::Nothing {
            return Ok(None);
        }
        self.render(&contents.text).map(Some)
    }

    fn render(&self, text: &EmailTemplate) -> Result<Rendered, String> {
        let name = text.kind();
        let wrong = |what: String| format!("{name}: {what}");
        let fields = serde_json::to_value(text).map_err(|e| wrong(e.to_string()))?;
        let mut fields = match fields {
            Json::Object(fields) => fields,
            _ => Map::new(),
        };
        let link = text.code().zip(self.pages_url.as_ref()).map(|((code, page), base)| {
            // Behind the #: what stands there is sent to no server and is in no log.
            format!("{}/{page}#code={code}", base.trim_end_matches('/'))
        });
        fields.insert("practice".to_owned(), self.practice.clone().into());
        fields.insert("link".to_owned(), link.unwrap_or_default().into());
        let template = self.environment.get_template(name).map_err(|e| wrong(e.to_string()))?;
        let fields = fields
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
        let made = template.render(Value::from_pairs(fields));
        let made = made.map_err(|e| wrong(e.to_string()))?;
        let (first, body) = made.split_once('\n').unwrap_or((&made, ""));
        let subject = first.strip_prefix(SUBJECT).map(str::trim).filter(|line| !line.is_empty());
        let subject = subject.ok_or_else(|| wrong(format!("must begin with \"{SUBJECT}\"")))?;
        // Without line ends, which would begin another header.
        let subject = subject.chars().filter(|c| !c.is_control()).collect();
        Ok(Rendered { subject, body: format!("{}\n", body.trim()) })
    }
}

/// One of each.
fn samples() -> Vec<EmailTemplate> {
    let [name, code, new_email, at, address, device, left] =
        ["name", "SAMPLE-C0DE", "new_email", "at", "address", "device", "left"].map(str::to_owned);
    let seen = || (name.clone(), at.clone(), address.clone());
    let with = |text: fn(String, String, String) -> EmailTemplate| {
        let (name, at, address) = seen();
        text(name, at, address)
    };
    let mut notices = vec![
        with(|name, at, address| EmailTemplate::SecondFactorOn { name, at, address }),
        with(|name, at, address| EmailTemplate::SecondFactorReplaced { name, at, address }),
        with(|name, at, address| EmailTemplate::SecondFactorOff { name, at, address }),
        with(|name, at, _| EmailTemplate::SecondFactorReset { name, at }),
        with(|name, at, address| EmailTemplate::RecoveryCodesMade { name, at, address }),
    ];
    let (used, when, from) = seen();
    notices.push(EmailTemplate::RecoveryCodeUsed { name: used, at: when, address: from, left });
    notices.push(with(|name, at, address| EmailTemplate::AccountDeleted { name, at, address }));
    notices.push(with(|name, at, _| EmailTemplate::AccountErased { name, at }));
    let mut all = vec![
        EmailTemplate::ConfirmSignUp { code: code.clone() },
        EmailTemplate::VerifyEmail { name: name.clone(), code: code.clone() },
        EmailTemplate::AccountExists { name: name.clone(), code: code.clone() },
        EmailTemplate::ResetPassword { name: name.clone(), code: code.clone() },
        EmailTemplate::ConfirmEmailChange { code },
        EmailTemplate::AddressInUse { name: name.clone() },
        EmailTemplate::EmailChangeRequested { name: name.clone(), new_email: new_email.clone() },
        EmailTemplate::EmailChanged { name: name.clone(), new_email },
        EmailTemplate::PasswordChanged {
            name: name.clone(),
            at: at.clone(),
            address: address.clone(),
        },
        EmailTemplate::NewLogIn { name, at, address, device },
    ];
    all.append(&mut notices);
    let [count, list, zone_data] = ["count", "list", "zone_data"].map(str::to_owned);
    all.push(EmailTemplate::AppointmentsDrifted {
        name: "name".to_owned(),
        count,
        list,
        zone_data,
    });
    all.push(EmailTemplate::Invitation { code: "code".to_owned() });
    all.push(EmailTemplate::AccountMerged { name: "name".to_owned(), at: "at".to_owned() });
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::email::Email;

    fn texts(pages: Option<&str>, own: &[(&str, &str)]) -> Result<TemplateSet, String> {
        let own = own.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        TemplateSet::new("Dr. Ada".to_owned(), pages.map(str::to_owned), own.collect())
    }

    fn contents(text: EmailTemplate) -> Contents {
        Contents { to: Email::parse("ada@example.org").unwrap(), text }
    }

    #[test]
    fn every_text_has_a_template_and_a_sample() {
        let kinds: Vec<_> = samples().iter().map(EmailTemplate::kind).collect();
        assert_eq!(kinds, TEMPLATES.map(|(name, _)| name));
    }

    #[test]
    fn a_code_is_told_with_and_without_a_page() {
        let reset =
            EmailTemplate::ResetPassword { name: "Grace".to_owned(), code: "c0de".to_owned() };
        let plain = texts(None, &[]).unwrap().letter(&contents(reset.clone())).unwrap().unwrap();
        assert_eq!(plain.subject, "Set a new password for Dr. Ada");
        assert!(plain.body.contains("Hello Grace,") && plain.body.contains("\nc0de\n"));
        assert!(!plain.body.contains('#'));
        let pages = texts(Some("https://app.example.org/"), &[]).unwrap();
        let linked = pages.letter(&contents(reset)).unwrap().unwrap();
        assert!(linked.body.contains("\nhttps://app.example.org/reset-password#code=c0de\n"));
        assert!(linked.body.contains("\nc0de\n"));
    }

    #[test]
    fn names_are_no_templates_and_no_headers() {
        let own = [("address_in_use", "Subject: For {{ name }}\n\n{{ name }}")];
        let name = "{{ practice }}\r\nBcc: all@example.org".to_owned();
        let letter =
            texts(None, &own).unwrap().letter(&contents(EmailTemplate::AddressInUse { name }));
        let letter = letter.unwrap().unwrap();
        assert_eq!(letter.subject, "For {{ practice }}");
        assert_eq!(texts(None, &[]).unwrap().letter(&contents(EmailTemplate::Nothing)), Ok(None));
    }

    #[test]
    fn own_templates_are_tried_out_at_the_start() {
        for (name, text, told) in [
            ("other", "Subject: x\n\nx", "other is no template"),
            ("new_log_in", "Hello", "must begin with"),
            ("new_log_in", "Subject: \n\nx", "must begin with"),
            ("new_log_in", "Subject: x\n\n{{ nmae }}", "undefined"),
            ("new_log_in", "Subject: x\n\n{% if %}", "new_log_in: "),
            ("reset_password", "Subject: x\n\nYour code", "reset_password: shows no code"),
            ("reset_password", "Subject: x\n\n{{ link }}", "reset_password: shows no code"),
        ] {
            let error = texts(None, &[(name, text)]).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
        let own = [("reset_password", "Subject: x\n\n{{ link }}")];
        texts(Some("https://app.example.org"), &own).unwrap();
    }
}
