//! Reading all that is stored about somebody, page by page.

use std::sync::Arc;

use secrecy::SecretString;

use super::{ExportPosition, Page, Record, commands::NoteExport};
use crate::{
    accounts::{
        self,
        audit::{self, AuditContext},
        passwords::service::Passwords,
        sessions,
        store::ById,
    },
    booking::{Appointment, service::history, store},
    catalogue, events,
    identity::{Caller, Origin, not_authenticated, permit::ListTypes},
    kernel::{
        ambient::Ambient,
        fault::Fault,
        id::{AppointmentId, UserId},
        time::Instant,
    },
    schedule::{self, store::offerings},
    storage::{Deadline, Query, Reader, Store},
};

/// How many records are read at once.
const AT_ONCE: u64 = 16;
/// How many events of an appointment are told with it; its next ones are told with it once more.
const MOST_EVENTS: u64 = 100;

/// Service layer for the export of personal data.
#[derive(Debug, Clone)]
pub struct Exports {
    store: Store,
    ambient: Ambient,
    passwords: Arc<Passwords>,
}

impl Exports {
    /// With what verifies the caller's password.
    pub fn new((store, ambient): (Store, Ambient), passwords: Arc<Passwords>) -> Self {
        Self { store, ambient, passwords }
    }

    /// A page of what is stored about the caller. The first one is noted in the trail.
    pub async fn export(
        &self,
        deadline: Deadline,
        caller: Caller,
        password: SecretString,
        (place, limit): (ExportPosition, u64),
        origin: Origin,
    ) -> Result<Page, Fault> {
        let account = self.store.read(deadline, ById(caller.user)).await?;
        let account = account.ok_or_else(not_authenticated)?;
        let password = (password, account.password_hash);
        let attempt = self.passwords.verify_own(deadline, (caller, false), password, &origin);
        attempt.await?.give_back().await;
        if place == ExportPosition::Account {
            let now = self.ambient.now();
            let audit_context = AuditContext::new(&self.ambient, Some(caller.user), origin, now);
            self.store.run(deadline, NoteExport { caller, audit_context }).await?;
        }
        self.export_on(deadline, caller, place, limit).await
    }

    /// More of it, in a call whose password was looked at.
    pub async fn export_on(
        &self,
        deadline: Deadline,
        caller: Caller,
        mut place: ExportPosition,
        limit: u64,
    ) -> Result<Page, Fault> {
        // A record may be large, as an appointment with its events.
        let limit = limit.min(AT_ONCE);
        loop {
            let read = Read { user: caller.user, place, limit, now: self.ambient.now() };
            // Boxed, because it is a large future that others hold.
            let page = Box::pin(self.store.read(deadline, read)).await?;
            if !page.records.is_empty() || page.next == ExportPosition::End {
                return Ok(page);
            }
            place = page.next;
        }
    }
}

struct Read {
    user: UserId,
    place: ExportPosition,
    limit: u64,
    now: Instant,
}

impl Query for Read {
    type Output = Page;

    async fn run(&self, at: &Reader) -> Result<Page, Fault> {
        let Self { user, place, limit, now } = *self;
        let provider = user.as_provider();
        let (records, after): (Vec<(Record, ExportPosition)>, ExportPosition) = match place {
            ExportPosition::Account => {
                let next = ExportPosition::Sessions(None);
                return Ok(Page { records: account(at, (user, now), next).await?, next });
            }
            ExportPosition::Sessions(after) => {
                let found = sessions::store::of_account(at, user, after, limit).await?;
                let record = |each: sessions::Session| {
                    let place = ExportPosition::Sessions(Some(each.id));
                    (Record::Session(each), place)
                };
                (found.into_iter().map(record).collect(), ExportPosition::History(0))
            }
            ExportPosition::History(after) => {
                let found = accounts::store::history(at, user, after, limit).await?;
                let record = |each: accounts::store::Happened| {
                    let place = ExportPosition::History(each.version);
                    (Record::Happened(each), place)
                };
                (found.into_iter().map(record).collect(), ExportPosition::Trail(None))
            }
            ExportPosition::Trail(after) => {
                let found = audit::store::of_person(at, user, after, limit).await?;
                let record = |each: audit::AuditEntry| {
                    let place = ExportPosition::Trail(Some(each.id));
                    (Record::Audited(each), place)
                };
                (found.into_iter().map(record).collect(), ExportPosition::Offerings(None))
            }
            ExportPosition::Offerings(after) => {
                let bounds = ListTypes { everything: true, own: Some(provider) };
                let filter = offerings::Filter { bounds, type_id: None, provider: Some(provider) };
                let found = offerings::list(at, &filter, after, limit).await?;
                let record = |(each, since): (offerings::Offering, _)| {
                    let (provider, type_id) = (each.provider.0, each.type_id.0);
                    let cursor = offerings::OfferingCursor { at: since, provider, type_id };
                    (Record::Offering(each), ExportPosition::Offerings(Some(cursor)))
                };
                (found.into_iter().map(record).collect(), ExportPosition::Types(None))
            }
            ExportPosition::Types(after) => {
                let found = catalogue::store::owned_by(at, provider, after, limit).await?;
                let record = |each: catalogue::AppointmentType| {
                    let place = ExportPosition::Types(Some(each.id.0));
                    (Record::Type(Box::new(each)), place)
                };
                (found.into_iter().map(record).collect(), ExportPosition::Appointments(None))
            }
            ExportPosition::Appointments(after) => {
                let mut records = Vec::new();
                for each in store::of_customer(at, user, after, limit).await? {
                    let (record, next) = appointment(at, each, user, None).await?;
                    records.push((record, next));
                    if matches!(next, ExportPosition::Events { .. }) {
                        return Ok(Page { records, next });
                    }
                }
                (records, ExportPosition::End)
            }
            ExportPosition::Events { of, provider, after } => {
                let rest = ExportPosition::Appointments(Some(of));
                let found = store::find(at, provider, AppointmentId(of.id)).await?;
                let Some(found) = found.filter(|found| found.customer == user) else {
                    return Ok(Page { records: Vec::new(), next: rest });
                };
                let (record, next) = appointment(at, found, user, Some(after)).await?;
                // There may have been none after them.
                let is_empty = matches!(&record, Record::Appointment(_, told) if told.is_empty());
                let records = if is_empty { Vec::new() } else { vec![(record, next)] };
                return Ok(Page { records, next });
            }
            ExportPosition::End => (Vec::new(), ExportPosition::End),
        };
        // A full page may be followed by more of the same.
        let full = u64::try_from(records.len()).is_ok_and(|count| count == limit);
        let last = records.last().map(|(_, place)| *place).filter(|_| full);
        Ok(Page { records, next: last.unwrap_or(after) })
    }
}

/// An appointment with what happened to it after a version, and where to go on.
async fn appointment(
    at: &Reader,
    found: Appointment,
    user: UserId,
    after: Option<i64>,
) -> Result<(Record, ExportPosition), Fault> {
    let (provider, id) = (found.provider, found.id);
    let of = store::AppointmentCursor { start: found.start, id: id.0 };
    let bounds = (MOST_EVENTS, false);
    let events = events::store::of_appointment(at, provider, id, after, bounds).await?;
    let is_full = u64::try_from(events.len()).is_ok_and(|count| count == MOST_EVENTS);
    let last = events.last().map(|event| event.version).filter(|_| is_full);
    let next = match last {
        Some(after) => ExportPosition::Events { of, provider, after },
        None => ExportPosition::Appointments(Some(of)),
    };
    let told = history::told(at, events, user, false).await?;
    Ok((Record::Appointment(Box::new(found), told), next))
}

/// What there is one of: the account, the second factor, and the provider.
async fn account(
    at: &Reader,
    (user, now): (UserId, Instant),
    next: ExportPosition,
) -> Result<Vec<(Record, ExportPosition)>, Fault> {
    let account = accounts::store::find(at, user).await?.ok_or_else(not_authenticated)?;
    let factor = accounts::second_factor::store::seen(at, user, now).await?;
    let provider = schedule::store::find_readable(at, user.as_provider()).await?;
    let provider = provider.map(|provider| Record::Provider(Box::new(provider)));
    let records = [Record::User(account.user), Record::SecondFactor(factor)];
    Ok(records.into_iter().chain(provider).map(|record| (record, next)).collect())
}
