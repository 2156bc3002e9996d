//! What the API says of itself: reflection, its conventions, its reasons.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use bytes::Buf;
use daybook::{
    config::DEFAULTS,
    grpc::{policy, proto::DESCRIPTORS, status},
    kernel::fault::Reason,
};
use prost_reflect::{
    Cardinality, DescriptorPool, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor,
};
use prost_types::method_options::IdempotencyLevel;
use tonic_reflection::pb::{v1, v1alpha};

use crate::support::{Engine, World, process::Process, refusal::refused};

pub(crate) fn api() -> DescriptorPool {
    DescriptorPool::decode(DESCRIPTORS).unwrap()
}

pub(crate) fn is_ours(name: &str) -> bool {
    name.starts_with("daybook.")
}

/// The files of a descriptor set as they stand there, byte by byte: field 1 of each entry.
fn files(set: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut rest = set;
    let mut found = BTreeMap::new();
    while rest.has_remaining() {
        assert_eq!(prost::encoding::decode_varint(&mut rest).unwrap(), (1 << 3) | 2);
        let length = prost::encoding::decode_varint(&mut rest).unwrap();
        let (file, after) = rest.split_at(usize::try_from(length).unwrap());
        // A file begins with its name: field 1 again.
        let mut inside = file;
        assert_eq!(prost::encoding::decode_varint(&mut inside).unwrap(), (1 << 3) | 2);
        let length = usize::try_from(prost::encoding::decode_varint(&mut inside).unwrap());
        let name = String::from_utf8(inside[..length.unwrap()].to_vec()).unwrap();
        found.insert(name, file.to_vec());
        rest = after;
    }
    found
}

/// Asks for the list of services, as tools do first.
async fn listed(channel: tonic::transport::Channel) -> Result<usize, tonic::Status> {
    use v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let question = Some(MessageRequest::ListServices(String::new()));
    let request = ServerReflectionRequest { host: String::new(), message_request: question };
    let mut client = ServerReflectionClient::new(channel);
    let answers = client.server_reflection_info(tokio_stream::once(request)).await?;
    match answers.into_inner().message().await?.unwrap().message_response.unwrap() {
        MessageResponse::ListServicesResponse(listed) => Ok(listed.service.len()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn production_does_not_describe_itself_unless_it_is_asked_to() {
    use std::os::unix::fs::PermissionsExt as _;
    let keys = tempfile::tempdir().unwrap();
    let key = keys.path().join("own-key");
    fs::write(&key, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let production = [("profile", "production"), ("auth.master_key_file", key.to_str().unwrap())];
    let process = Process::start(Engine::Sqlite, &production).await;
    let status = refused(listed(process.channel.clone()).await, "METHOD_UNKNOWN");
    assert_eq!(status.code(), tonic::Code::Unimplemented);
    let asked = [&production[..], &[("server.reflection", "true")]].concat();
    let process = Process::start(Engine::Sqlite, &asked).await;
    assert!(listed(process.channel.clone()).await.unwrap() > 5);
    let process = Process::start(Engine::Sqlite, &[]).await;
    assert!(listed(process.channel.clone()).await.unwrap() > 5);
}

/// What stands in default.toml before this setting.
fn comment(setting: &str) -> String {
    let (before, _) = DEFAULTS.split_once(&format!("\n{setting} = ")).unwrap();
    before.rsplit("\n\n").next().unwrap().replace("\n# ", " ")
}

#[test]
fn the_settings_name_the_calls_that_count_as_log_ins() {
    let comment = comment("max_log_ins_in_flight");
    let (_, listed) = comment.split_once(": ").unwrap();
    let (listed, _) = listed.split_once('.').unwrap();
    let mut listed: Vec<_> = listed.split(',').map(str::trim).collect();
    listed.sort_unstable();
    let of_class = |(path, ..): &(&'static str, _, _)| {
        let class = policy::entry(path).unwrap().class;
        (class == policy::Class::LogIn).then(|| path.rsplit('/').next().unwrap())
    };
    let mut table: Vec<_> = policy::TABLE.iter().filter_map(of_class).collect();
    table.sort_unstable();
    assert_eq!(listed, table);
}

macro_rules! reflection {
    ($name:ident, $version:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            use $version::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest,
                server_reflection_response::MessageResponse,
            };
            let world = World::new(Engine::Sqlite).await;
            let channel = world.channel.clone();
            let ask = async |question: MessageRequest| {
                let request = ServerReflectionRequest {
                    host: "example.org".to_owned(),
                    message_request: Some(question),
                };
                let mut client = ServerReflectionClient::new(channel.clone());
                let answers = client.server_reflection_info(tokio_stream::once(request.clone()));
                let mut answers = answers.await.unwrap().into_inner();
                let answer = answers.message().await.unwrap().unwrap();
                assert_eq!(answer.valid_host, "example.org");
                assert_eq!(answer.original_request, Some(request));
                assert_eq!(answers.message().await.unwrap(), None);
                answer.message_response.unwrap()
            };
            let file = async |question: MessageRequest| match ask(question).await {
                MessageResponse::FileDescriptorResponse(answer) => {
                    let [file] = &answer.file_descriptor_proto[..] else { panic!("not one file") };
                    file.clone()
                }
                other => panic!("{other:?}"),
            };
            let MessageResponse::ListServicesResponse(listed) =
                ask(MessageRequest::ListServices(String::new())).await
            else {
                panic!("no list")
            };
            let listed: BTreeSet<String> = listed.service.into_iter().map(|s| s.name).collect();
            let served = policy::TABLE.iter().map(|(path, ..)| {
                path.trim_start_matches('/').split('/').next().unwrap().to_owned()
            });
            assert_eq!(listed, served.collect());

            // Every file as it is, however it is asked for.
            let files = files(DESCRIPTORS);
            assert!(files.len() >= 4);
            for (name, bytes) in &files {
                let served = file(MessageRequest::FileByFilename(name.clone())).await;
                assert_eq!(&served, bytes, "{name}");
            }
            for service in api().services() {
                let path = service.parent_file().name().to_owned();
                let symbol = MessageRequest::FileContainingSymbol;
                assert_eq!(file(symbol(service.full_name().to_owned())).await, files[&path]);
                for method in service.methods() {
                    assert_eq!(file(symbol(method.full_name().to_owned())).await, files[&path]);
                    let input = method.input();
                    let at = input.parent_file().name().to_owned();
                    assert_eq!(file(symbol(input.full_name().to_owned())).await, files[&at]);
                    for field in input.fields() {
                        assert_eq!(file(symbol(field.full_name().to_owned())).await, files[&at]);
                    }
                }
            }
            // Values stand beside their enums, in a package as in a message.
            let mut values = 0;
            for of in api().all_enums() {
                let at = of.parent_file().name().to_owned();
                let symbol = MessageRequest::FileContainingSymbol;
                assert_eq!(file(symbol(of.full_name().to_owned())).await, files[&at]);
                for value in of.values().filter(|_| is_ours(of.full_name())) {
                    assert_eq!(file(symbol(value.full_name().to_owned())).await, files[&at]);
                    values += 1;
                }
            }
            assert!(values > 30, "{values}");
            let reason = "daybook.auth.v1.ERROR_REASON_SLOT_TAKEN".to_owned();
            let reason = file(MessageRequest::FileContainingSymbol(reason)).await;
            assert_eq!(reason, files["daybook/auth/v1/error_reason.proto"]);
            // The custom options are there: a client that knows nothing else reads them.
            let mut client = DescriptorPool::new();
            let wanted = "daybook/auth/v1/auth.proto";
            let mut open = vec![wanted.to_owned()];
            let mut fetched = Vec::new();
            while let Some(name) = open.pop() {
                if fetched.iter().any(|(known, _)| *known == name) {
                    continue;
                }
                let bytes = file(MessageRequest::FileByFilename(name.clone())).await;
                let parsed: prost_types::FileDescriptorProto =
                    prost::Message::decode(&*bytes).unwrap();
                open.extend(parsed.dependency);
                fetched.push((name, bytes));
            }
            client.decode_file_descriptor_set(&*as_set(&fetched)).unwrap();
            let request = client.get_message_by_name("daybook.auth.v1.SignUpRequest").unwrap();
            assert_eq!(behaviour(&request.get_field_by_name("email").unwrap()), ["REQUIRED"]);
            assert_eq!(behaviour(&request.get_field_by_name("request_id").unwrap()), ["OPTIONAL"]);
            let option = MessageRequest::FileContainingExtension($version::ExtensionRequest {
                containing_type: "google.protobuf.FieldOptions".to_owned(),
                extension_number: 1052,
            });
            assert_eq!(file(option).await, files["google/api/field_behavior.proto"]);
            let unknown = |name: &str| MessageRequest::FileContainingSymbol(name.to_owned());
            for unknown in [
                MessageRequest::FileByFilename("/etc/passwd".to_owned()),
                unknown("daybook.Nothing"),
                unknown("daybook.auth.v1.Nothing"),
                unknown("daybook.auth.v1.AuthService.Nothing"),
                unknown("daybook.auth.v1.User.nothing"),
                unknown("daybook.auth.v1.ErrorReason.ERROR_REASON_SLOT_TAKEN"),
            ] {
                let answer = ask(unknown).await;
                let MessageResponse::ErrorResponse(error) = answer else { panic!("{answer:?}") };
                assert_eq!(error.error_code, i32::from(tonic::Code::NotFound));
            }
        }
    };
}

reflection!(reflection_v1_serves_every_file_as_it_is, v1);
reflection!(reflection_v1alpha_serves_every_file_as_it_is, v1alpha);

fn as_set(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut set = Vec::new();
    for (_, file) in files {
        prost::encoding::encode_varint((1 << 3) | 2, &mut set);
        prost::encoding::encode_varint(file.len() as u64, &mut set);
        set.extend_from_slice(file);
    }
    set
}

/// The names in `google.api.field_behavior` of a field.
fn behaviour(field: &FieldDescriptor) -> Vec<String> {
    let pool = field.parent_pool();
    let option = pool.get_extension_by_name("google.api.field_behavior").unwrap();
    let Kind::Enum(kind) = option.kind() else { panic!("not an enum") };
    let options = field.options();
    let values = options.get_extension(&option).into_owned();
    let numbers = values.as_list().unwrap().iter().map(|value| value.as_enum_number().unwrap());
    numbers.map(|number| kind.get_value(number).unwrap().name().to_owned()).collect()
}

fn methods() -> Vec<MethodDescriptor> {
    api().services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// `option idempotency_level = NO_SIDE_EFFECTS` is what tells reads from writes.
fn is_read(method: &MethodDescriptor) -> bool {
    let options = method.method_descriptor_proto().options.as_ref();
    options.is_some_and(|o| o.idempotency_level() == IdempotencyLevel::NoSideEffects)
}

#[test]
fn lists_have_pages() {
    let mut lists = 0;
    for method in methods() {
        // A provider has at most 21 schedules and an account at most 100 sessions, which come at once.
        // The order of events is read on for ever: it has cursors.
        let all_at_once = ["ListSchedules", "ListSessions", "ListEvents"].contains(&method.name());
        if !method.name().starts_with("List") || all_at_once {
            continue;
        }
        lists += 1;
        let kind = |message: &MessageDescriptor, name: &str| {
            let field = message.get_field_by_name(name);
            field.map(|field| (field.kind(), field.cardinality()))
        };
        let (request, response) = (method.input(), method.output());
        let name = method.full_name();
        assert!(is_read(&method), "{name}");
        let once = Cardinality::Optional;
        assert_eq!(kind(&request, "page_size"), Some((Kind::Int32, once)), "{name}");
        assert_eq!(kind(&request, "page_token"), Some((Kind::String, once)), "{name}");
        assert_eq!(kind(&response, "next_page_token"), Some((Kind::String, once)), "{name}");
        let repeated = response.fields().filter(FieldDescriptor::is_list).count();
        assert_eq!(repeated, 1, "{name}");
    }
    assert_eq!(lists, 13);
}

/// Each log-in is a new one, a refresh token is its own id, what is ended once stays ended, answers with
/// secrets are not kept, and who is deleted asks for nothing again.
const WITHOUT_ID: [&str; 14] = [
    "LogIn",
    "CompleteLogIn",
    "RefreshTokens",
    "LogOut",
    "RevokeSession",
    "RevokeAllSessions",
    "EnrolTotp",
    "EnrolTotpAtLogIn",
    "ConfirmTotp",
    "RegenerateRecoveryCodes",
    "CreateApiKey",
    "RevokeApiKey",
    "ExportMyData",
    "DeleteMyAccount",
];

#[test]
fn writes_can_be_retried() {
    let (mut writes, mut reads) = (0, 0);
    for method in methods() {
        let id = method.input().get_field_by_name("request_id");
        if is_read(&method) {
            reads += 1;
            assert_eq!(id, None, "{}", method.full_name());
        } else if WITHOUT_ID.contains(&method.name()) {
            assert_eq!(id, None);
        } else {
            writes += 1;
            assert_eq!(id.unwrap().kind(), Kind::String, "{}", method.full_name());
        }
    }
    assert_eq!((writes, reads), (49, 33));
}

#[test]
fn requests_tell_which_fields_are_needed() {
    for method in methods() {
        let request = method.input();
        assert_eq!(request.name(), format!("{}Request", method.name()));
        assert_eq!(method.output().name(), format!("{}Response", method.name()));
        for field in request.fields() {
            let told = behaviour(&field);
            let name = field.full_name();
            assert!(told == ["REQUIRED"] || told == ["OPTIONAL"], "{name}: {told:?}");
        }
    }
}

#[test]
fn the_enum_of_reasons_is_the_list_of_reasons() {
    let reasons = api().get_enum_by_name("daybook.auth.v1.ErrorReason").unwrap();
    let mut numbers = Vec::new();
    let mut names = Vec::new();
    for value in reasons.values() {
        numbers.push(value.number());
        names.push(value.name().strip_prefix("ERROR_REASON_").unwrap().to_owned());
    }
    assert_eq!(names.remove(0), "UNSPECIFIED");
    assert_eq!(numbers, (0..=60).collect::<Vec<i32>>());
    assert_eq!(names, Reason::ALL.iter().map(|reason| reason.name()).collect::<Vec<_>>());
}

#[test]
fn the_proto_tells_the_code_of_each_reason() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/daybook/auth/v1/error_reason.proto");
    let text = fs::read_to_string(path).unwrap();
    for reason in Reason::ALL {
        let code = format!("{:?}", status::code(reason.kind()));
        let mut upper = String::new();
        for c in code.chars() {
            if c.is_uppercase() && !upper.is_empty() {
                upper.push('_');
            }
            upper.extend(c.to_uppercase());
        }
        let told = format!("ERROR_REASON_{} [{upper}]:", reason.name());
        assert!(text.contains(&told), "{told}");
    }
}

#[test]
fn the_table_of_reasons_is_stable() {
    insta::assert_snapshot!(status::table(), @r"
    INVALID_FIELDS            InvalidArgument
    MALFORMED_REQUEST         InvalidArgument
    MESSAGE_TOO_LARGE         InvalidArgument
    REQUEST_ID_REUSED         InvalidArgument
    CURRENT_PASSWORD_WRONG    InvalidArgument
    NOT_AUTHENTICATED         Unauthenticated
    LOG_IN_FAILED             Unauthenticated
    ROLE_NOT_ALLOWED          PermissionDenied
    PROVIDER_SIGN_UP_CLOSED   PermissionDenied
    NOT_FOUND                 NotFound
    EMAIL_TAKEN               AlreadyExists
    SLOT_TAKEN                Aborted
    ETAG_STALE                Aborted
    OUTSIDE_HOURS             FailedPrecondition
    IN_THE_PAST               FailedPrecondition
    TOO_LONG                  FailedPrecondition
    OWN_TIME                  FailedPrecondition
    CUSTOMER_BUSY             FailedPrecondition
    NOT_STARTED               FailedPrecondition
    WRONG_STATE               FailedPrecondition
    OWN_ACCOUNT               FailedPrecondition
    OVERLOADED                ResourceExhausted
    DEADLINE_EXCEEDED         DeadlineExceeded
    DATABASE_UNAVAILABLE      Unavailable
    OUTCOME_UNKNOWN           Unavailable
    SHUTTING_DOWN             Unavailable
    METHOD_UNKNOWN            Unimplemented
    INTERNAL                  Internal
    NOTICE_TOO_SHORT          FailedPrecondition
    BEYOND_HORIZON            FailedPrecondition
    OFF_GRID                  FailedPrecondition
    TIME_OFF                  FailedPrecondition
    PRACTICE_CLOSED           FailedPrecondition
    DAY_LIMIT                 FailedPrecondition
    WEEK_LIMIT                FailedPrecondition
    CUSTOMER_LIMIT            FailedPrecondition
    TYPE_ARCHIVED             FailedPrecondition
    NOT_OFFERED               FailedPrecondition
    INTERVALS_NOT_ACCEPTED    FailedPrecondition
    TOO_LATE                  FailedPrecondition
    HOLD_ENDED                FailedPrecondition
    HOLD_EXTENDED             FailedPrecondition
    TOO_MANY_HOLDS            ResourceExhausted
    NAME_TAKEN                AlreadyExists
    IN_USE                    FailedPrecondition
    TOO_MANY                  FailedPrecondition
    RATE_LIMITED              ResourceExhausted
    REFRESH_REFUSED           Unauthenticated
    TOO_MANY_ATTEMPTS         ResourceExhausted
    CODE_REFUSED              FailedPrecondition
    MAIL_OFF                  FailedPrecondition
    CODE_WRONG                InvalidArgument
    CHALLENGE_REFUSED         Unauthenticated
    SECOND_FACTOR_REQUIRED    FailedPrecondition
    SCOPE_MISSING             PermissionDenied
    ACT_FOR_REFUSED           PermissionDenied
    SECOND_FACTOR_UNREADABLE  FailedPrecondition
    TOO_SHORT                 FailedPrecondition
    CURSOR_EXPIRED            FailedPrecondition
    CURSOR_UNKNOWN            FailedPrecondition
    ");
}
