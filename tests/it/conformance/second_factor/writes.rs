//! The writes of `SecondFactorService` that can be retried, as cases.

use daybook::grpc::proto::auth::{DisableTotpRequest, ResetSecondFactorRequest};

use crate::{
    conformance::writes::{Case, Cast},
    support::{
        World,
        people::{PASSWORD, uuid},
    },
};

/// One case for every write.
pub(in crate::conformance) async fn cases(world: &World, cast: &Cast) -> Vec<Case> {
    let [plain, lost, ..] = &cast.people[10..] else { panic!("too few people") };
    let (_, codes) = world.turn_on(plain).await;
    let (_, _) = world.turn_on(lost).await;

    let disable = DisableTotpRequest {
        current_password: PASSWORD.to_owned(),
        code: codes[0].clone(),
        request_id: uuid(),
    };
    let current_password = "another password".to_owned();
    let disables = vec![
        ("current_password", DisableTotpRequest { current_password, ..disable.clone() }),
        ("code", DisableTotpRequest { code: codes[1].clone(), ..disable.clone() }),
    ];

    let reset = ResetSecondFactorRequest {
        name: lost.user.name.clone(),
        etag: String::new(),
        request_id: uuid(),
    };
    let resets = vec![
        ("name", ResetSecondFactorRequest { name: plain.user.name.clone(), ..reset.clone() }),
        ("etag", ResetSecondFactorRequest { etag: "\"2\"".to_owned(), ..reset.clone() }),
    ];
    vec![
        Case::new(
            "/daybook.auth.v1.SecondFactorService/DisableTotp",
            Some(plain),
            &disable,
            disables,
        ),
        Case::new(
            "/daybook.auth.v1.SecondFactorService/ResetSecondFactor",
            Some(&cast.admin),
            &reset,
            resets,
        ),
    ]
}
