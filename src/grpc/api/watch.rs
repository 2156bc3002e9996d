//! `daybook.booking.v1.WatchService`.

use futures_util::{StreamExt as _, stream, stream::BoxStream};
use tonic::{Request, Response, Status};

use super::{
    Api,
    convert::{TYPE_NAME, listed, name},
    open::{Opened, open},
    schedule::PROVIDER_NAME,
    watch_wire::{kind, wire_event},
};
use crate::grpc::edge::caller::{StillKnown, still_known};
use crate::grpc::proto::booking::{self as pb, event::Kind, watch_service_server::WatchService};
use crate::{
    identity::{
        Caller, Role,
        feed_permit::{ReadEvents, read_events},
    },
    kernel::{
        fault::{Fault, Violations},
        id::{ProviderId, TypeId, UserId},
        page::{PageTokens, page_size},
    },
    live::{Cursor, Filter, Page, Scope, watch_service::Begins},
};

/// The most kinds that a filter names.
const MOST_KINDS: usize = 50;
/// The most providers or types that a filter names.
const MOST_NAMES: usize = 100;
/// What a parent looks like.
const PARENT: &str =
    "must be providers/{provider} or users/{user} with a UUID in lower case, or empty";
/// What a cursor looks like.
const CURSOR: &str = "must be a cursor that the same caller got for the same parent";

#[tonic::async_trait]
impl WatchService for Api {
    async fn list_events(
        &self,
        request: Request<pb::ListEventsRequest>,
    ) -> Result<Response<pb::ListEventsResponse>, Status> {
        let Opened { deadline, caller, message, mut violations } = open(request)?;
        let size = violations.keep("page_size", page_size(message.page_size)).unwrap_or_default();
        let asked = (message.parent, message.cursor, message.filter);
        let EventQuery { permit, scope, after, filter } =
            self.event_query(caller, asked, &mut violations);
        if message.from_now && after.is_some() {
            violations.add("from_now", "must not be set together with cursor");
        }
        violations.finish()?;
        let permit = permit?;
        if message.from_now {
            let end = self.feed.end(deadline).await?;
            let next_cursor = end.map(|end| self.cursor(&scope, end)).unwrap_or_default();
            let (events, up_to_date) = (Vec::new(), true);
            return Ok(Response::new(pb::ListEventsResponse { events, next_cursor, up_to_date }));
        }
        let limit = usize::try_from(size).unwrap_or_default();
        let page = self.feed.list(deadline, permit, &filter, after, limit).await?;
        let words = Words { pages: self.pages.clone(), scope, is_staff: permit.is_staff() };
        let (events, next_cursor) = words.of(&page, after);
        let up_to_date = page.is_up_to_date;
        Ok(Response::new(pb::ListEventsResponse { events, next_cursor, up_to_date }))
    }

    type WatchEventsStream = BoxStream<'static, Result<pb::WatchEventsResponse, Status>>;

    async fn watch_events(
        &self,
        request: Request<pb::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let StillKnown(standing) = still_known(&request)?;
        let Opened { deadline, caller, message, mut violations } = open(request)?;
        let asked = (message.parent, message.cursor, message.filter);
        let EventQuery { permit, scope, after, filter } =
            self.event_query(caller, asked, &mut violations);
        if message.from_now && after.is_some() {
            violations.add("from_now", "must not be set together with cursor");
        }
        violations.finish()?;
        let permit = permit?;
        let begins = if message.from_now { Begins::Now } else { Begins::After(after) };
        let opened = self.watches.open(deadline, (caller, permit), filter, begins, standing);
        let watcher = opened.await?;
        let words = Words { pages: self.pages.clone(), scope, is_staff: permit.is_staff() };
        let stream = stream::unfold(Some((watcher, words)), async |state| {
            let (mut watcher, words) = state?;
            match watcher.next().await {
                Ok(Some(page)) => {
                    let (events, next_cursor) = words.of(&page, None);
                    let up_to_date = page.is_up_to_date;
                    let told = pb::WatchEventsResponse { events, next_cursor, up_to_date };
                    Some((Ok(told), Some((watcher, words))))
                }
                Ok(None) => None,
                Err(fault) => {
                    let place = watcher.at().map(|at| words.cursor(at));
                    Some((Err(fault.with("cursor", place.unwrap_or_default()).into()), None))
                }
            }
        });
        Ok(Response::new(stream.boxed()))
    }
}

/// Makes messages of what one caller is told.
struct Words {
    pages: PageTokens,
    /// What cursors are bound to.
    scope: String,
    is_staff: bool,
}

impl Words {
    fn cursor(&self, at: Cursor) -> String {
        self.pages.make(&self.scope, &at)
    }

    /// The events of a page, and the cursor after it.
    fn of(&self, page: &Page, before: Option<Cursor>) -> (Vec<pb::Event>, String) {
        let events = page.events.iter();
        let events = events.map(|told| wire_event(told, self.is_staff, self.cursor(told.found.at)));
        let next = page.next.or(before).map(|next| self.cursor(next));
        (events.collect(), next.unwrap_or_default())
    }
}

/// What a request for events asks for, as far as it could be read.
struct EventQuery {
    permit: Result<ReadEvents, Fault>,
    /// What a cursor is bound to.
    scope: String,
    after: Option<Cursor>,
    filter: Filter,
}

impl Api {
    fn event_query(
        &self,
        caller: Caller,
        (parent, cursor, filter): (String, String, Option<pb::EventFilter>),
        violations: &mut Violations,
    ) -> EventQuery {
        let whose = violations.keep("parent", whose(&parent)).unwrap_or(Scope::Practice);
        if parent.is_empty() && caller.role != Role::Admin {
            violations.add("parent", "must be set: only admins read the events of all");
        }
        let permit = match whose {
            Scope::Practice => read_events(caller, None, None),
            Scope::Provider(provider) => read_events(caller, Some(provider), None),
            Scope::Customer(customer) => read_events(caller, None, Some(customer)),
        };
        let scope = format!("feed {} {parent}", caller.user);
        let after = self.pages.read::<Cursor>(&scope, &cursor).map_err(|_| CURSOR);
        let after = violations.keep("cursor", after).flatten();
        let filter = narrowed(filter.unwrap_or_default(), violations);
        EventQuery { permit, scope, after, filter }
    }

    fn cursor(&self, scope: &str, at: Cursor) -> String {
        self.pages.make(scope, &at)
    }
}

fn whose(parent: &str) -> Result<Scope, &'static str> {
    if parent.is_empty() {
        return Ok(Scope::Practice);
    }
    let provider = ProviderId::parse(parent).map(Scope::Provider);
    provider.or_else(|| UserId::parse(parent).map(Scope::Customer)).ok_or(PARENT)
}

fn narrowed(wire: pb::EventFilter, violations: &mut Violations) -> Filter {
    let pb::EventFilter { kinds, providers, appointment_types } = wire;
    let known = |number: &i32| {
        let known = Kind::try_from(*number).ok().and_then(kind);
        known.ok_or("must be a kind of event that there is")
    };
    let provider = |text: &String| name(text, ProviderId::parse, PROVIDER_NAME);
    let of_type = |text: &String| name(text, TypeId::parse, TYPE_NAME);
    Filter {
        kinds: listed(("filter.kinds", MOST_KINDS), &kinds, known, violations),
        providers: listed(("filter.providers", MOST_NAMES), &providers, provider, violations),
        types: listed(
            ("filter.appointment_types", MOST_NAMES),
            &appointment_types,
            of_type,
            violations,
        ),
    }
}
