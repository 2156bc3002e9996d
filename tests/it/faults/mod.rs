//! Faults of what is below the server: full and broken disks, files that are taken away, commits that hang. What
//! was acknowledged is there for everybody, and health says when nothing can be.

mod disk;
mod files;
mod health;
mod panics;
mod random;
mod silent;
mod units;

use std::collections::BTreeSet;

use daybook::grpc::proto::booking::BookAppointmentRequest;
use sea_orm::DatabaseConnection;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::support::{
    books,
    people::Person,
    process::{Process, day, minutes, session, until},
    refusal::reason_of,
};

/// A provider and a customer who book quarters of an hour, one after the other.
struct Bookings {
    provider: Person,
    customer: Person,
    next: i64,
    /// What was acknowledged.
    told: BTreeSet<String>,
    /// What became of these is not known.
    unknown: Vec<BookAppointmentRequest>,
}

impl Bookings {
    async fn new(process: &Process) -> Self {
        let provider = process.provider().await;
        let customer = process.customers(1).await.remove(0);
        Self { provider, customer, next: 0, told: BTreeSet::new(), unknown: Vec::new() }
    }

    /// Books the next quarter of an hour; the reason if that was refused.
    async fn book(&mut self, process: &Process) -> Result<(), String> {
        let request = minutes(&self.provider, day(), (self.next * 15, self.next * 15 + 15));
        self.next += 1;
        self.put(process, request).await
    }

    async fn put(
        &mut self,
        process: &Process,
        request: BookAppointmentRequest,
    ) -> Result<(), String> {
        let answer = process.booking().book_appointment(self.customer.asks(request.clone())).await;
        match answer {
            Ok(answer) => {
                self.told.insert(answer.into_inner().appointment.unwrap().name);
                Ok(())
            }
            Err(status) => {
                assert!(
                    [Code::Unavailable, Code::DeadlineExceeded].contains(&status.code()),
                    "{status:?}"
                );
                let reason = reason_of(&status);
                if reason != "DATABASE_UNAVAILABLE" {
                    self.unknown.push(request);
                }
                Err(reason)
            }
        }
    }

    /// Books until one is acknowledged.
    async fn book_at_last(&mut self, process: &Process) {
        let began = tokio::time::Instant::now();
        while self.book(process).await.is_err() {
            let waited = began.elapsed();
            assert!(waited < std::time::Duration::from_secs(15), "{}", process.log());
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Puts again what is not known, until it is.
    async fn settle(&mut self, process: &Process) {
        let began = tokio::time::Instant::now();
        for request in std::mem::take(&mut self.unknown) {
            while let Err(reason) = self.put(process, request.clone()).await {
                let waited = began.elapsed();
                assert!(waited < std::time::Duration::from_secs(30), "{reason}: {}", process.log());
                if reason != "DATABASE_UNAVAILABLE" {
                    // It is put again here.
                    self.unknown.pop();
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
    }

    /// What was acknowledged is what a fresh connection sees, and nothing is wrong with it.
    async fn are_there(&self, url: &str) {
        let db = session(url).await;
        self.are_in(&db).await;
        db.close().await.unwrap();
    }

    async fn are_in(&self, db: &DatabaseConnection) {
        let stored: BTreeSet<String> = books::check(db).await.into_keys().collect();
        let lost: Vec<_> = self.told.difference(&stored).collect();
        assert!(lost.is_empty(), "{} of {} are lost", lost.len(), self.told.len());
        if self.unknown.is_empty() {
            assert_eq!(stored.len(), self.told.len(), "there is more than was told");
        }
    }
}

/// What health says of a service.
async fn health(process: &Process, service: &str) -> ServingStatus {
    let mut client = HealthClient::new(process.channel.clone());
    let request = HealthCheckRequest { service: service.to_owned() };
    client.check(request).await.unwrap().into_inner().status()
}

/// Waits until readiness is so. Returns how long that took.
async fn readiness(process: &Process, is: ServingStatus) -> std::time::Duration {
    until(15, &format!("{is:?}: {}", process.log()), async || health(process, "").await == is).await
}
