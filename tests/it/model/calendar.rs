//! A provider's calendar beside the model: all that claims the time, and what is free of the windows.

use daybook::grpc::proto::booking::GetCalendarRequest;
use prost_types::Timestamp;

use super::{
    plain::{Claim, DAY, State},
    practice::{Practice, wire},
};

/// How many days are asked for: a month view, and more.
const DAYS: i64 = 50;

impl Practice {
    /// What the calendar of one of the providers tells is what the model says.
    pub async fn compare_calendar(&self) {
        let provider = self.steps % self.providers.len();
        let world = &self.worlds[self.steps % self.worlds.len()];
        let from = (self.model.now.div_euclid(DAY) - 7) * DAY;
        let range = (from, from + DAYS * DAY);
        let request = GetCalendarRequest {
            provider: self.providers[provider].provider(),
            start_time: wire(range.0),
            end_time: wire(range.1),
        };
        let asked = self.admin.asks(request);
        let told = world.booking().get_calendar(asked).await.unwrap().into_inner();
        assert_eq!(told.end_time, wire(range.1), "{}", self.tell());
        let overlaps = |(start, end): (i64, i64)| start < range.1 && range.0 < end;
        let names = |wanted: &dyn Fn(&Claim) -> bool| -> Vec<String> {
            let all = self.model.claims.iter().enumerate();
            let mut found: Vec<_> = all
                .filter(|(_, claim)| claim.provider == provider && wanted(claim))
                .map(|(id, claim)| (claim.start, self.names[id].0.clone()))
                .collect();
            found.sort();
            found.into_iter().map(|(_, name)| name).collect()
        };
        let is_told = |claim: &Claim| {
            is_live(claim)
                && (overlaps((claim.start, claim.end)) || asked_for(claim).is_some_and(overlaps))
        };
        let appointments: Vec<_> = told.appointments.iter().map(|each| each.name.clone()).collect();
        assert_eq!(appointments, names(&is_told), "{}", self.tell());
        let is_held =
            |claim: &Claim| claim.state == State::Held && overlaps((claim.start, claim.end));
        let holds: Vec<_> =
            told.holds.iter().map(|each| each.name.replace("/holds/", "/appointments/")).collect();
        assert_eq!(holds, names(&is_held), "{}", self.tell());
        let free: Vec<_> = told.schedules[0]
            .free_intervals
            .iter()
            .map(|each| (each.start_time, each.end_time))
            .collect();
        let wanted: Vec<(Option<Timestamp>, Option<Timestamp>)> = self
            .free(provider, range)
            .into_iter()
            .map(|(start, end)| (wire(start), wire(end)))
            .collect();
        assert_eq!(free, wanted, "{}", self.tell());
    }

    /// What is free of a provider's windows from now on, joined where it touches.
    fn free(&self, provider: usize, range: (i64, i64)) -> Vec<(i64, i64)> {
        let of = &self.model.providers[provider];
        let from = range.0.max(self.model.now);
        let mut free: Vec<(i64, i64)> = Vec::new();
        for window in of.windows(range) {
            let (start, end) = (window.start.max(from), window.end.min(range.1));
            match free.last_mut() {
                Some(last) if last.1 >= start => last.1 = last.1.max(end),
                _ if start < end => free.push((start, end)),
                _ => {}
            }
        }
        let mut taken: Vec<(i64, i64)> =
            of.time_off.iter().map(|(_, from, until)| (*from, *until)).collect();
        taken.extend(self.model.closures.iter().flatten());
        let claims = self.model.claims.iter().filter(|claim| claim.provider == provider);
        for claim in claims.filter(|claim| is_live(claim) || claim.state == State::Held) {
            let (before, after) = (self.model.buffers(claim.of_type).0, claim.after);
            let times = [Some((claim.start, claim.end)), asked_for(claim)];
            taken.extend(times.into_iter().flatten().map(|(a, b)| (a - before, b + after)));
        }
        for (start, end) in taken {
            let rest = free.into_iter().flat_map(|(a, b)| [(a, b.min(start)), (a.max(end), b)]);
            free = rest.filter(|(a, b)| a < b).collect();
        }
        free
    }
}

fn is_live(claim: &Claim) -> bool {
    matches!(claim.state, State::Pending | State::Booked | State::Completed | State::NoShow)
}

/// The time to which the customer asks to move it.
fn asked_for(claim: &Claim) -> Option<(i64, i64)> {
    claim.asked.map(|(start, ..)| (start, start + claim.end - claim.start))
}
