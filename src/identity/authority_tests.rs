use uuid::Uuid;

use super::*;
use crate::kernel::id::ServiceAccountId;

const METHOD: &str = "daybook.booking.v1.BookingService/BookAppointment";

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn person() -> Caller {
    Caller {
        user: UserId(id(1)),
        role: Role::Customer,
        session: id(2),
        service: None,
        credential: Credential::Token { generation: 5 },
    }
}

fn backend() -> Caller {
    Caller {
        service: Some(ServiceAccountId(id(3))),
        credential: Credential::ApiKey { method: METHOD },
        ..person()
    }
}

fn user() -> StoredUser {
    StoredUser { role: Role::Customer, disabled: false, generation: 5, kept: None }
}

fn key() -> StoredKey {
    StoredKey {
        scopes: vec![METHOD.to_owned()],
        role: Role::Customer,
        act_for: ActFor { any_customer: true, customers: Vec::new() },
    }
}

fn standing() -> CallerState {
    CallerState { user: Some(user()), session_ended: false, key: Some(key()) }
}

fn refusal(caller: Caller, standing: &CallerState) -> Option<Reason> {
    judge(caller, standing).err().map(|fault| fault.reason())
}

#[test]
fn who_may_still_may() {
    assert_eq!(refusal(person(), &standing()), None);
    assert_eq!(refusal(person(), &CallerState { key: None, ..standing() }), None);
    assert_eq!(refusal(backend(), &standing()), None);
    // A token of a later generation than the one that was read, as after a log-in meanwhile.
    let earlier = Some(StoredUser { generation: 4, ..user() });
    assert_eq!(refusal(person(), &CallerState { user: earlier, ..standing() }), None);
    let kept = Some(StoredUser { generation: 6, kept: Some(id(2)), ..user() });
    assert_eq!(refusal(person(), &CallerState { user: kept, ..standing() }), None);
    let itself = Caller { user: UserId(id(3)), ..backend() };
    assert_eq!(refusal(itself, &CallerState { user: None, ..standing() }), None);
}

#[test]
fn a_token_ends_with_the_account_its_role_its_generation_and_its_session() {
    let changed = [
        None,
        Some(StoredUser { disabled: true, ..user() }),
        Some(StoredUser { role: Role::Provider, ..user() }),
        Some(StoredUser { generation: 6, ..user() }),
        Some(StoredUser { generation: 6, kept: Some(id(9)), ..user() }),
    ];
    for user in changed {
        let reason = refusal(person(), &CallerState { user: user.clone(), ..standing() });
        assert_eq!(reason, Some(Reason::NotAuthenticated), "{user:?}");
    }
    let over = CallerState { session_ended: true, ..standing() };
    assert_eq!(refusal(person(), &over), Some(Reason::NotAuthenticated));
}

#[test]
fn a_key_ends_with_itself_its_scope_and_its_grant() {
    let gone = CallerState { key: None, ..standing() };
    assert_eq!(refusal(backend(), &gone), Some(Reason::NotAuthenticated));
    let scopes = vec!["daybook.booking.v1.ScheduleService".to_owned()];
    let other = CallerState { key: Some(StoredKey { scopes, ..key() }), ..standing() };
    assert_eq!(refusal(backend(), &other), Some(Reason::ScopeMissing));
    let act_for = ActFor { any_customer: false, customers: vec![UserId(id(7))] };
    let taken = CallerState { key: Some(StoredKey { act_for, ..key() }), ..standing() };
    assert_eq!(refusal(backend(), &taken), Some(Reason::ActForRefused));
    let itself = Caller { user: UserId(id(3)), role: Role::Admin, ..backend() };
    assert_eq!(refusal(itself, &standing()), Some(Reason::NotAuthenticated));
}

#[test]
fn nobody_acts_for_who_is_no_customer_any_more() {
    let changed = [
        None,
        Some(StoredUser { disabled: true, ..user() }),
        Some(StoredUser { role: Role::Provider, ..user() }),
    ];
    for user in changed {
        let reason = refusal(backend(), &CallerState { user: user.clone(), ..standing() });
        assert_eq!(reason, Some(Reason::ActForRefused), "{user:?}");
    }
}
