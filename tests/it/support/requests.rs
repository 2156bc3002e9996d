//! A valid request of each method of ScheduleService that names something.

use daybook::grpc::proto::booking::{
    Closure, CreateClosureRequest, CreateScheduleRequest, CreateTimeOffRequest,
    DeleteClosureRequest, DeleteScheduleRequest, DeleteTimeOffRequest, ListSchedulesRequest,
    ListTimeOffRequest, Schedule, TimeOff,
};
use prost::Message;

use super::{World, berlin, people::Person};

/// The request of a method for the resource or the parent with this name, in wire form.
pub fn of_schedules(method: &str, name: &str) -> Option<Vec<u8>> {
    let name = name.to_owned();
    let (start_time, end_time) =
        (Some(berlin("2026-12-24 00:00")), Some(berlin("2026-12-27 00:00")));
    Some(match method {
        "CreateSchedule" => CreateScheduleRequest {
            parent: name,
            schedule_id: "another".to_owned(),
            schedule: Some(Schedule { time_zone: "UTC".to_owned(), ..Default::default() }),
            ..Default::default()
        }
        .encode_to_vec(),
        "DeleteSchedule" => DeleteScheduleRequest { name, ..Default::default() }.encode_to_vec(),
        "ListSchedules" => ListSchedulesRequest { parent: name }.encode_to_vec(),
        "CreateTimeOff" => {
            let time_off = Some(TimeOff { start_time, end_time, ..Default::default() });
            CreateTimeOffRequest { parent: name, time_off, ..Default::default() }.encode_to_vec()
        }
        "DeleteTimeOff" => DeleteTimeOffRequest { name, ..Default::default() }.encode_to_vec(),
        "ListTimeOff" => ListTimeOffRequest { parent: name, ..Default::default() }.encode_to_vec(),
        "CreateClosure" => {
            let closure = Some(Closure { start_time, end_time, ..Default::default() });
            CreateClosureRequest { closure, ..Default::default() }.encode_to_vec()
        }
        "DeleteClosure" => DeleteClosureRequest { name, ..Default::default() }.encode_to_vec(),
        _ => return None,
    })
}

impl World {
    /// Gives the provider a named schedule; its name.
    pub async fn schedule_for(&self, provider: &Person, id: &str) -> String {
        let request = CreateScheduleRequest {
            parent: provider.provider(),
            schedule_id: id.to_owned(),
            schedule: Some(Schedule { time_zone: "UTC".to_owned(), ..Default::default() }),
            ..Default::default()
        };
        let answer = self.schedule().create_schedule(provider.asks(request)).await.unwrap();
        answer.into_inner().schedule.unwrap().name
    }

    /// Takes time off for the provider; its name.
    pub async fn time_off(&self, provider: &Person, from: &str, until: &str) -> String {
        let (start_time, end_time) = (Some(berlin(from)), Some(berlin(until)));
        let time_off = Some(TimeOff { start_time, end_time, ..Default::default() });
        let parent = provider.provider();
        let request = CreateTimeOffRequest { parent, time_off, ..Default::default() };
        let answer = self.schedule().create_time_off(provider.asks(request)).await.unwrap();
        answer.into_inner().time_off.unwrap().name
    }

    /// Closes the practice; the closure's name.
    pub async fn closure(&self, admin: &Person, from: &str, until: &str) -> String {
        let (start_time, end_time) = (Some(berlin(from)), Some(berlin(until)));
        let closure = Some(Closure { start_time, end_time, ..Default::default() });
        let request = CreateClosureRequest { closure, ..Default::default() };
        let answer = self.schedule().create_closure(admin.asks(request)).await.unwrap();
        answer.into_inner().closure.unwrap().name
    }
}
