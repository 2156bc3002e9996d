//! The section `mail`.

use std::{path::PathBuf, time::Duration};

use secrecy::ExposeSecret as _;

use super::{MailConfig, MailTransport, reader::SettingsReader, smtp_url};

/// How long an email may take to leave, well below the time that a process has for it.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often to look for emails that wait, on average.
const LOOK: Duration = Duration::from_secs(1);

/// Reads the section `mail`. Whether the server, the sender and the templates can be used is seen at the start.
pub(super) fn read(reader: &mut SettingsReader<'_>, verify_email: bool) -> MailConfig {
    const TRANSPORT: &str = "mail.transport";
    const URL: &str = "mail.smtp_url";
    let all = [MailTransport::None, MailTransport::Folder, MailTransport::Smtp];
    let transport = reader.choice(TRANSPORT, MailTransport::None, &all, MailTransport::name);
    if transport == MailTransport::None && verify_email {
        let remedy = "give a mail.transport, or set this to false";
        reader.problem("auth.verify_email", "addresses cannot be verified without mail", remedy);
    }
    let url = reader.optional_secret(URL);
    let authorities = reader.optional_path("mail.smtp_ca_file");
    let fault = match url.expose_secret() {
        "" if transport == MailTransport::Smtp => {
            Some("there is no mail server for mail.transport = \"smtp\"".to_owned())
        }
        "" => None,
        url => smtp_url::fault(url, authorities.is_some()),
    };
    if let Some(fault) = fault {
        let key = if reader.is_path_form(URL) { "mail.smtp_url_file" } else { URL };
        reader.problem(key, fault, smtp_url::VALID);
    }
    let pages = reader.optional_text("mail.pages_url", 500);
    if pages.as_ref().is_some_and(|url| !url.starts_with("https://") && !url.starts_with("http://"))
    {
        let remedy = "give where the pages are, such as \"https://app.example.com\", or nothing";
        reader.problem("mail.pages_url", "is no web address", remedy);
    }
    MailConfig {
        transport,
        folder: reader.optional_path("mail.folder").unwrap_or_else(|| PathBuf::from(".")),
        smtp_url: url,
        smtp_ca_file: authorities,
        from: reader.name("mail.from", 200),
        pages_url: pages,
        templates_folder: reader.optional_path("mail.templates_folder"),
        patience: PATIENCE,
        look: LOOK,
    }
}

impl MailConfig {
    /// Whether emails go to the mail server with TLS or not at all.
    pub(crate) fn has_tls(&self) -> bool {
        smtp_url::has_tls(self.smtp_url.expose_secret(), self.smtp_ca_file.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Flag, Sources};

    fn load(settings: &[(&str, &str)]) -> Result<String, String> {
        let flags = settings.iter().map(|(key, value)| Flag {
            name: format!("--set {key}"),
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        });
        let sources = Sources { flags: flags.collect(), ..Sources::default() };
        let (config, origins) = Config::load(sources).map_err(|problems| problems.to_string())?;
        Ok(format!("{:?}{}", config.mail, config.render(&origins)))
    }

    #[test]
    fn the_mail_server_is_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        std::fs::write(&path, "smtps://us:hush@mail.example.org\n").unwrap();
        let path = path.to_str().unwrap();
        for given in
            [("mail.smtp_url", "smtps://us:hush@mail.example.org"), ("mail.smtp_url_file", path)]
        {
            let shown = load(&[("mail.transport", "smtp"), given]).unwrap();
            assert!(!shown.contains("hush"), "{shown}");
            assert!(shown.contains("smtp_url = \"***\""), "{shown}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_told() {
        for (settings, told) in [
            (&[("mail.transport", "smtp")][..], "mail.smtp_url"),
            (&[("mail.transport", "pigeon")], "none\" or \"folder\" or \"smtp"),
            (&[("mail.transport", "none"), ("auth.verify_email", "true")], "auth.verify_email"),
            (&[("mail.pages_url", "app.example.org")], "mail.pages_url"),
            (&[("mail.from", "")], "mail.from"),
        ] {
            let problems = load(settings).unwrap_err();
            assert!(problems.contains(told), "{problems}");
        }
        assert!(load(&[("mail.transport", "none")]).is_ok());
        assert!(load(&[("auth.verify_email", "true")]).is_ok());
    }
}
