//! The writes of the front desk as data.

use daybook::grpc::proto::auth::{
    CreateUserRequest, Customer, EnrolCustomerRequest, InviteCustomerRequest,
    MergeCustomersRequest, Role, UpdateCustomerRequest,
};
use prost_types::FieldMask;

use super::{PHONE, caller, enrol};
use crate::{
    conformance::writes::{Case, Cast},
    support::{World, people::uuid},
};

/// One case for every write. They change nobody whom the cases of others are about.
pub(in crate::conformance) async fn cases(world: &World, cast: &Cast) -> Vec<Case> {
    let mut enrolled = Vec::new();
    for number in 0..6 {
        let email = format!("desk{number}@example.org");
        enrolled.push(enrol(world, &cast.admin, caller("Desk", &email, "")).await.unwrap());
    }
    let [invited, other, corrected, survivor, duplicate, third] = &enrolled[..] else {
        panic!("six were enrolled")
    };
    let admin = Some(&cast.admin);
    let invite = InviteCustomerRequest { name: invited.name.clone(), request_id: uuid() };
    vec![
        enrols(cast),
        creates(cast),
        Case::new(
            "/daybook.auth.v1.CustomerService/InviteCustomer",
            admin,
            &invite,
            vec![("name", InviteCustomerRequest { name: other.name.clone(), ..invite.clone() })],
        ),
        corrects(cast, corrected, third),
        merges(cast, survivor, (duplicate, third)),
    ]
}

fn enrols(cast: &Cast) -> Case {
    let new = caller("Ada", "ada.at.the.desk@example.org", "");
    let enrol =
        EnrolCustomerRequest { customer: Some(new.clone()), invite: false, request_id: uuid() };
    let with =
        |customer: Customer| EnrolCustomerRequest { customer: Some(customer), ..enrol.clone() };
    let changed = vec![
        ("customer", with(Customer { display_name: "Eve".to_owned(), ..new.clone() })),
        ("customer", with(Customer { phone: PHONE.to_owned(), ..new.clone() })),
        ("invite", EnrolCustomerRequest { invite: true, ..enrol.clone() }),
    ];
    Case::new("/daybook.auth.v1.CustomerService/EnrolCustomer", Some(&cast.admin), &enrol, changed)
}

fn creates(cast: &Cast) -> Case {
    let create = CreateUserRequest {
        display_name: "Grace".to_owned(),
        email: "grace.of.the.desk@example.org".to_owned(),
        role: Role::Provider.into(),
        time_zone: "Europe/Berlin".to_owned(),
        phone: String::new(),
        invite: false,
        request_id: uuid(),
    };
    let changed = vec![
        ("display_name", CreateUserRequest { display_name: "Eve".to_owned(), ..create.clone() }),
        ("email", CreateUserRequest { email: "eve@example.org".to_owned(), ..create.clone() }),
        ("role", CreateUserRequest { role: Role::Customer.into(), ..create.clone() }),
        ("time_zone", CreateUserRequest { time_zone: "UTC".to_owned(), ..create.clone() }),
        ("phone", CreateUserRequest { phone: PHONE.to_owned(), ..create.clone() }),
        ("invite", CreateUserRequest { invite: true, ..create.clone() }),
    ];
    Case::new("/daybook.auth.v1.AuthService/CreateUser", Some(&cast.admin), &create, changed)
}

fn corrects(cast: &Cast, of: &Customer, other: &Customer) -> Case {
    let customer = Customer {
        name: of.name.clone(),
        display_name: "Corrected".to_owned(),
        ..Default::default()
    };
    let update = UpdateCustomerRequest {
        customer: Some(customer.clone()),
        update_mask: None,
        request_id: uuid(),
    };
    let with =
        |customer: Customer| UpdateCustomerRequest { customer: Some(customer), ..update.clone() };
    let update_mask = Some(FieldMask { paths: vec!["display_name".to_owned()] });
    let changed = vec![
        ("customer", with(Customer { name: other.name.clone(), ..customer.clone() })),
        ("customer", with(Customer { phone: PHONE.to_owned(), ..customer.clone() })),
        ("customer", with(Customer { etag: of.etag.clone(), ..customer.clone() })),
        ("update_mask", UpdateCustomerRequest { update_mask, ..update.clone() }),
    ];
    let path = "/daybook.auth.v1.CustomerService/UpdateCustomer";
    Case::new(path, Some(&cast.admin), &update, changed)
}

fn merges(cast: &Cast, survivor: &Customer, (duplicate, third): (&Customer, &Customer)) -> Case {
    let merge = MergeCustomersRequest {
        name: survivor.name.clone(),
        duplicate: duplicate.name.clone(),
        etag: String::new(),
        request_id: uuid(),
    };
    let changed = vec![
        ("name", MergeCustomersRequest { name: third.name.clone(), ..merge.clone() }),
        ("duplicate", MergeCustomersRequest { duplicate: third.name.clone(), ..merge.clone() }),
        ("etag", MergeCustomersRequest { etag: survivor.etag.clone(), ..merge.clone() }),
    ];
    let path = "/daybook.auth.v1.CustomerService/MergeCustomers";
    Case::new(path, Some(&cast.admin), &merge, changed)
}
