//! What sends emails, as the settings say.

use std::path::Path;

use secrecy::ExposeSecret as _;
use tokio_util::task::TaskTracker;

use super::Error;
use crate::{
    carrier::{Carrier, Means, Smtp, Unfit},
    config::{Config, MailTransport, Unusable},
    identity::master_key::MasterKey,
    kernel::ambient::Ambient,
    mail::{
        render::TemplateSet,
        service::{Inner, Mail},
    },
    storage::Store,
};

/// What sends emails, if anything does.
pub(super) fn mail(
    config: &Config,
    store: &Store,
    ambient: &Ambient,
    master: &MasterKey,
) -> Result<Mail, Error> {
    let Some((carrier, texts)) = carrier(config)? else { return Ok(Mail::off()) };
    Ok(Mail::on(Inner {
        store: store.clone(),
        ambient: ambient.clone(),
        master: master.clone(),
        texts,
        carrier,
        look: config.mail.look,
        under_way: TaskTracker::new(),
    }))
}

/// How emails leave and what they say, if any do.
pub(super) fn carrier(config: &Config) -> Result<Option<(Carrier, TemplateSet)>, Unusable> {
    const TEMPLATES: &str = "mail.templates_folder";
    let settings = &config.mail;
    let means = match settings.transport {
        MailTransport::None => return Ok(None),
        MailTransport::Folder => Means::Folder(settings.folder.clone()),
        MailTransport::Smtp => Means::Smtp(Smtp {
            url: settings.smtp_url.expose_secret().to_owned(),
            authorities: settings.smtp_ca_file.as_deref().map(authorities).transpose()?,
        }),
    };
    let carrier = Carrier::new(&settings.from, means, settings.patience);
    let carrier = carrier.map_err(|unfit| unusable_mail(&unfit, config))?;
    let own = settings.templates_folder.as_deref().map(templates).transpose();
    let own = own.map_err(|fault| Unusable::new(TEMPLATES, fault, "give a folder of templates"))?;
    let texts =
        TemplateSet::new(carrier.practice(), settings.pages_url.clone(), own.unwrap_or_default());
    let remedy = "mend it, or remove the file to use the text that comes with Daybook";
    let texts = texts.map_err(|e| Unusable::new(TEMPLATES, format!("the template {e}"), remedy))?;
    Ok(Some((carrier, texts)))
}

fn unusable_mail(unfit: &Unfit, config: &Config) -> Unusable {
    const AUTHORITIES: &str = "mail.smtp_ca_file";
    let fault = unfit.to_string();
    match unfit {
        Unfit::Sender(_) => {
            let fault = format!("{:?} {fault}", config.mail.from);
            let remedy = "give one address, with a name in quotes where that has a comma, such as \
                 \"\\\"Practice, Ltd.\\\" <mail@example.org>\"";
            Unusable::new("mail.from", fault, remedy)
        }
        Unfit::Url => Unusable::new("mail.smtp_url", fault, "give smtps://USER:PASSWORD@HOST"),
        Unfit::Authorities(_) => {
            Unusable::new(AUTHORITIES, fault, "give a file of certificates in PEM, or nothing")
        }
    }
}

fn authorities(path: &Path) -> Result<Vec<u8>, Unusable> {
    std::fs::read(path).map_err(|e| {
        let fault = format!("{} cannot be read: {e}", path.display());
        Unusable::new("mail.smtp_ca_file", fault, "give a file of certificates in PEM, or nothing")
    })
}

/// The templates in an operator's folder, by name; or what is wrong with it.
fn templates(folder: &Path) -> Result<Vec<(String, String)>, String> {
    let wrong =
        |path: &Path, e: &dyn std::fmt::Display| format!("{} cannot be read: {e}", path.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| wrong(folder, &e))? {
        let path = entry.map_err(|e| wrong(folder, &e))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // What editors and Kubernetes leave beside them is none.
        let Some(name) = name.strip_suffix(".txt") else { continue };
        let name = name.to_owned();
        let text = std::fs::read_to_string(&path).map_err(|e| wrong(&path, &e))?;
        found.push((name, text));
    }
    Ok(found)
}
