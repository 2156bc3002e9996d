//! The writes of CatalogueService as data, and what a retry of each does.

use daybook::grpc::proto::booking::{
    AppointmentType, ArchiveAppointmentTypeRequest, CreateAppointmentTypeRequest,
    OfferAppointmentTypeRequest, UpdateAppointmentTypeRequest, WithdrawAppointmentTypeRequest,
};
use futures_util::future::join_all;
use prost_types::FieldMask;

use super::{
    behaviours,
    catalogue::{archive, create, full, own, plain, private, update},
    writes::Case,
};
use crate::support::{
    World,
    people::{Person, uuid},
    refusal::{fields_of, refused},
};

behaviours!(
    every_write_of_the_catalogue_has_one_effect_and_one_answer,
    an_id_of_the_catalogue_is_refused_for_any_other_request,
    the_first_answer_of_the_catalogue_is_given_whatever_happened_since,
    sixty_four_twins_make_one_type,
    twins_of_the_catalogue_have_one_effect,
    a_refused_write_of_the_catalogue_keeps_nothing,
);

/// One case for every write. The request of each is valid, and changes something, in this order.
pub(super) async fn cases(world: &World) -> Vec<Case> {
    let path = |method: &str| -> &'static str {
        let all = daybook::grpc::policy::TABLE;
        let method = format!("CatalogueService/{method}");
        all.iter().find(|(path, ..)| path.ends_with(&method)).unwrap().0
    };
    let (admin, one, two) = (world.admin().await, world.provider().await, world.provider().await);
    let shared = create(world, &admin, plain()).await.unwrap();
    let other = create(world, &admin, plain()).await.unwrap();
    let archived = create(world, &admin, plain()).await.unwrap();

    let create = CreateAppointmentTypeRequest {
        appointment_type: Some(private(own(&one))),
        request_id: uuid(),
    };
    let with = |change: AppointmentType| CreateAppointmentTypeRequest {
        appointment_type: Some(change),
        ..create.clone()
    };
    let creates = vec![
        ("appointment_type", with(private(own(&two)))),
        ("appointment_type", with(own(&one))),
        ("appointment_type", with(private(plain()))),
        ("appointment_type", with(private(AppointmentType { owner: one.provider(), ..full() }))),
    ];

    let changed = AppointmentType { name: shared.name.clone(), ..private(full()) };
    let update = UpdateAppointmentTypeRequest {
        appointment_type: Some(changed.clone()),
        update_mask: None,
        request_id: uuid(),
        replace_link_code: false,
    };
    let with = |change: AppointmentType| UpdateAppointmentTypeRequest {
        appointment_type: Some(change),
        ..update.clone()
    };
    let mask = Some(FieldMask { paths: vec!["visibility".to_owned()] });
    let updates = vec![
        ("appointment_type", with(AppointmentType { name: other.name.clone(), ..changed.clone() })),
        (
            "appointment_type",
            with(AppointmentType { etag: shared.etag.clone(), ..changed.clone() }),
        ),
        ("appointment_type", with(AppointmentType { place: String::new(), ..changed.clone() })),
        ("appointment_type", with(full())),
        ("update_mask", UpdateAppointmentTypeRequest { update_mask: mask, ..update.clone() }),
        (
            "replace_link_code",
            UpdateAppointmentTypeRequest { replace_link_code: true, ..update.clone() },
        ),
    ];
    // Which is valid: a name is needed.
    let updates = updates
        .into_iter()
        .map(|(field, mut request)| {
            let wanted = request.appointment_type.as_mut().unwrap();
            if wanted.name.is_empty() {
                wanted.name.clone_from(&shared.name);
            }
            (field, request)
        })
        .collect();

    let archive = ArchiveAppointmentTypeRequest {
        name: archived.name.clone(),
        archived: true,
        etag: archived.etag.clone(),
        request_id: uuid(),
    };
    let archives = vec![
        ("name", ArchiveAppointmentTypeRequest { name: other.name.clone(), ..archive.clone() }),
        ("archived", ArchiveAppointmentTypeRequest { archived: false, ..archive.clone() }),
        ("etag", ArchiveAppointmentTypeRequest { etag: String::new(), ..archive.clone() }),
    ];

    let offer = OfferAppointmentTypeRequest {
        appointment_type: other.name.clone(),
        provider: one.provider(),
        schedule: one.schedule(),
        request_id: uuid(),
    };
    let appointment_type = archived.name.clone();
    let offers = vec![
        ("appointment_type", OfferAppointmentTypeRequest { appointment_type, ..offer.clone() }),
        (
            "provider",
            OfferAppointmentTypeRequest {
                provider: two.provider(),
                schedule: two.schedule(),
                ..offer.clone()
            },
        ),
        ("schedule", OfferAppointmentTypeRequest { schedule: String::new(), ..offer.clone() }),
    ];

    let withdraw = WithdrawAppointmentTypeRequest {
        appointment_type: other.name.clone(),
        provider: one.provider(),
        request_id: uuid(),
    };
    let appointment_type = shared.name.clone();
    let withdraws = vec![
        (
            "appointment_type",
            WithdrawAppointmentTypeRequest { appointment_type, ..withdraw.clone() },
        ),
        (
            "provider",
            WithdrawAppointmentTypeRequest { provider: two.provider(), ..withdraw.clone() },
        ),
    ];

    let admin = Some(&admin);
    vec![
        Case::new(path("CreateAppointmentType"), admin, &create, creates),
        Case::new(path("UpdateAppointmentType"), admin, &update, updates),
        Case::new(path("ArchiveAppointmentType"), admin, &archive, archives),
        Case::new(path("OfferAppointmentType"), admin, &offer, offers),
        Case::new(path("WithdrawAppointmentType"), admin, &withdraw, withdraws),
    ]
}

async fn every_write_of_the_catalogue_has_one_effect_and_one_answer(world: World) {
    for case in cases(&world).await {
        let before = world.state().await;
        let first = case.call(&world).await;
        let after = world.state().await;
        assert_ne!(after, before, "{}", case.path);
        for _ in 0..3 {
            assert_eq!(case.call(&world).await, first, "{}", case.path);
        }
        assert_eq!(world.state().await, after, "{}", case.path);
    }
    // One event for each change, and no request without its change.
    crate::support::books::check(&world.sql().await).await;
}

async fn an_id_of_the_catalogue_is_refused_for_any_other_request(world: World) {
    for case in cases(&world).await {
        let first = case.call(&world).await;
        let before = world.state().await;
        for (field, request) in &case.changed {
            let answer = case.send(&world, request).await;
            assert!(answer.is_err(), "{} with another {field}", case.path);
            let status = refused(answer, "REQUEST_ID_REUSED");
            assert_eq!(fields_of(&status), ["request_id"]);
        }
        assert_eq!(world.state().await, before, "{}", case.path);
        assert_eq!(case.call(&world).await, first, "{}", case.path);
    }
}

async fn the_first_answer_of_the_catalogue_is_given_whatever_happened_since(world: World) {
    let cases = cases(&world).await;
    let mut answers = Vec::new();
    for case in &cases {
        answers.push(case.call(&world).await);
    }
    // Everything that was changed changes again.
    let admin = world.admin().await;
    for name in super::catalogue::listed(&world, &admin, true).await {
        let later = AppointmentType { name: name.clone(), place: "Later".to_owned(), ..plain() };
        update(&world, &admin, later, &["place", "visibility"]).await.unwrap();
        archive(&world, &admin, &name, true).await.unwrap();
    }
    let before = world.state().await;
    for (case, first) in cases.iter().zip(&answers) {
        assert_eq!(&case.call(&world).await, first, "{}", case.path);
    }
    assert_eq!(world.state().await, before);
}

/// Sends the same request so many times at once, to two servers.
async fn twins(world: &World, other: &World, case: &Case, count: usize) -> Vec<u8> {
    let calls = (0..count).map(|n| case.call(if n % 2 == 0 { world } else { other }));
    let mut answers = join_all(calls).await;
    let first = answers.pop().unwrap();
    assert!(answers.iter().all(|answer| *answer == first), "{}", case.path);
    first
}

async fn sixty_four_twins_make_one_type(world: World) {
    let other = world.beside().await;
    let (admin, provider) = (world.admin().await, world.provider().await);
    for (count, wanted) in (1..).zip([plain(), own(&provider)]) {
        let request =
            CreateAppointmentTypeRequest { appointment_type: Some(wanted), request_id: uuid() };
        let path = "/daybook.booking.v1.CatalogueService/CreateAppointmentType";
        let case = Case::new(path, Some(&admin), &request, Vec::new());
        twins(&world, &other, &case, 64).await;
        for table in ["appointment_types", "type_events", "requests"] {
            assert_eq!(
                world.count(&format!("SELECT count(*) FROM {table}")).await,
                count,
                "{table}"
            );
        }
    }
    assert_eq!(world.count("SELECT count(*) FROM offerings").await, 1);
    assert_eq!(world.count("SELECT max(version) FROM providers").await, 2);
}

async fn twins_of_the_catalogue_have_one_effect(world: World) {
    let other = world.beside().await;
    for case in cases(&world).await {
        let requests = world.count("SELECT count(*) FROM requests").await;
        let answer = twins(&world, &other, &case, 16).await;
        let path = case.path;
        assert_eq!(world.count("SELECT count(*) FROM requests").await, requests + 1, "{path}");
        let after = world.state().await;
        assert_eq!(case.call(&world).await, answer);
        assert_eq!(world.state().await, after);
    }
    crate::support::books::check(&world.sql().await).await;
}

async fn a_refused_write_of_the_catalogue_keeps_nothing(world: World) {
    let (admin, provider) = (world.admin().await, world.provider().await);
    let made = create(&world, &admin, plain()).await.unwrap();
    let withdraw = |person: &Person| WithdrawAppointmentTypeRequest {
        appointment_type: made.name.clone(),
        provider: person.provider(),
        request_id: "01980000-0000-7000-8000-00000000abcd".to_owned(),
    };
    let before = world.state().await;
    for _ in 0..2 {
        let request = admin.asks(withdraw(&provider));
        refused(world.catalogue().withdraw_appointment_type(request).await, "NOT_FOUND");
    }
    assert_eq!(world.state().await, before);
    // The id is still unused, in whatever case it is written.
    let request = OfferAppointmentTypeRequest {
        appointment_type: made.name.clone(),
        provider: provider.provider(),
        schedule: String::new(),
        request_id: withdraw(&provider).request_id.to_uppercase(),
    };
    world.catalogue().offer_appointment_type(admin.asks(request)).await.unwrap();
    let request = admin.asks(withdraw(&provider));
    refused(world.catalogue().withdraw_appointment_type(request).await, "REQUEST_ID_REUSED");
}
