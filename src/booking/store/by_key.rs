//! Single appointments, for many questions in one statement.

use std::{collections::HashMap, sync::Arc};

use sea_orm::{DatabaseBackend, IdenStatic as _, Statement, Value, sea_query::ArrayType};

use crate::{
    booking::Appointment,
    kernel::{
        fault::Fault,
        id::{AppointmentId, ProviderId},
    },
    storage::{
        Engine, Executor, Query, Reader, batch::BatchQuery, engine, entity::appointments::Column,
    },
};

type Key = (ProviderId, AppointmentId);

/// The sort of question that asks for one appointment by its key.
#[derive(Debug, Clone, Copy)]
pub struct AppointmentBatch;

impl BatchQuery for AppointmentBatch {
    type Question = Key;
    /// A fault in one answer, such as a row that makes no sense, is not the others'.
    type Answer = Result<Option<Appointment>, Fault>;
    type Statement = Find;

    fn statement(&self, questions: Arc<[Key]>) -> Find {
        Find(questions)
    }
}

/// The SQL statement that answers a batch of queries.
#[derive(Debug)]
pub struct Find(Arc<[Key]>);

// A join and not IN over pairs, so that every look-up names its provider.
const POSTGRES: &str = "SELECT a.*, (
            SELECT p.display_name FROM providers p WHERE p.provider_id = a.provider_id
        ) AS provider_display_name
    FROM unnest($1::uuid[], $2::uuid[]) AS q (provider_id, appointment_id)
    JOIN appointments a
        ON a.provider_id = q.provider_id AND a.appointment_id = q.appointment_id
            AND a.claim_of IS NULL";

impl Query for Find {
    type Output = Vec<Result<Option<Appointment>, Fault>>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        if at.engine() == Engine::Sqlite {
            // In the same process a statement costs no round trip.
            let mut found = Vec::with_capacity(self.0.len());
            for (provider, id) in self.0.iter() {
                found.push(super::find(at, *provider, *id).await);
            }
            return Ok(found);
        }
        let array = |values: Vec<Value>| Value::Array(ArrayType::Uuid, Some(Box::new(values)));
        let providers = self.0.iter().map(|(provider, _)| provider.0.into()).collect();
        let ids = self.0.iter().map(|(_, id)| id.0.into()).collect();
        let values = [array(providers), array(ids)];
        let statement = Statement::from_sql_and_values(DatabaseBackend::Postgres, POSTGRES, values);
        let rows = at.query_all(statement).await.map_err(|e| engine::fault(&e))?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in rows {
            let id =
                |column: Column| row.try_get("", column.as_str()).map_err(|e| engine::fault(&e));
            let key =
                (ProviderId(id(Column::ProviderId)?), AppointmentId(id(Column::AppointmentId)?));
            // What is wrong with one is nobody else's.
            let read = super::names::appointment(&row);
            let told = |fault: Fault| fault.log(format!("the appointment {}", key.1));
            found.insert(
                key,
                read.map_err(|fault| if fault.log_text().is_none() { told(fault) } else { fault }),
            );
        }
        Ok(self.0.iter().map(|key| found.get(key).cloned().transpose()).collect())
    }
}
