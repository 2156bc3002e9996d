//! Every method with messages that are well formed and make little sense, and with bytes that are no message:
//! each gets an answer that is not a defect of ours.

use chrono::TimeDelta;
use daybook::grpc::proto::DESCRIPTORS;
use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor,
    Value,
};
use tonic::Code;

use super::Dice;
use crate::{
    conformance::behaviours,
    support::{
        World,
        people::{PASSWORD, Person, uuid},
        raw::{authorized, unary},
        rounds, serving,
    },
};

behaviours!(no_message_is_a_defect);

/// What stands in texts: names of what is there and of what is not, and what other systems trip over.
fn words(people: &[Person]) -> Vec<String> {
    let mut words: Vec<String> = people
        .iter()
        .flat_map(|person| {
            let (user, provider) = (person.user.name.clone(), person.provider());
            [
                person.user.email.clone(),
                user.clone(),
                format!("{user}/sessions/{}", uuid()),
                person.schedule(),
                person.schedule_named("x"),
                format!("{provider}/appointments/{}", uuid()),
                format!("{provider}/holds/{}", uuid()),
                format!("{provider}/timeOff/{}", uuid()),
                provider,
            ]
        })
        .collect();
    let senseless = [
        "",
        " ",
        "-",
        "x",
        "\0",
        "\u{202e}",
        "ﬁ",
        "😀",
        "Europe/Berlin",
        "UTC",
        "\"1\"",
        "*",
        "%s",
        "'; DROP TABLE users; --",
        "users/",
        "users/-",
        "closures/x",
        "appointmentTypes/x",
        PASSWORD,
    ];
    words.extend(senseless.map(str::to_owned));
    words.extend([uuid(), format!("appointmentTypes/{}", uuid()), "é".repeat(3_000)]);
    words
}

fn number(dice: &mut Dice) -> i64 {
    const ODD: [i64; 14] = [
        0,
        1,
        -1,
        2,
        7,
        24,
        59,
        60,
        500,
        2_026,
        1_800_000_000,
        253_402_300_800,
        i64::MAX,
        i64::MIN,
    ];
    ODD[dice.roll(ODD.len())]
}

fn value(dice: &mut Dice, field: &FieldDescriptor, words: &[String], depth: usize) -> Value {
    match field.kind() {
        Kind::Double => Value::F64(f64::NAN),
        Kind::Float => Value::F32(f32::INFINITY),
        Kind::Bool => Value::Bool(dice.roll(2) == 0),
        Kind::String => Value::String(words[dice.roll(words.len())].clone()),
        Kind::Bytes => Value::Bytes(vec![0xff; dice.roll(9)].into()),
        Kind::Message(message) => Value::Message(sample(dice, &message, words, depth + 1)),
        Kind::Enum(values) => {
            let known: Vec<i32> = values.values().map(|value| value.number()).collect();
            let unknown = [-1, 99, i32::MAX];
            let odd = dice.roll(8) == 0;
            let from = if odd { &unknown[..] } else { &known };
            Value::EnumNumber(from[dice.roll(from.len())])
        }
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            let number = number(dice);
            Value::I32(i32::try_from(number).unwrap_or(if number < 0 {
                i32::MIN
            } else {
                i32::MAX
            }))
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(number(dice)),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(u32::MAX),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(u64::MAX),
    }
}

/// A message with some of its fields set to something.
fn sample(
    dice: &mut Dice,
    descriptor: &MessageDescriptor,
    words: &[String],
    depth: usize,
) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        if dice.roll(3) == 0 || depth > 4 {
            continue;
        }
        if field.is_list() {
            let many = [0, 1, 2, 40][dice.roll(4)];
            let items = (0..many).map(|_| value(dice, &field, words, depth)).collect();
            message.set_field(&field, Value::List(items));
        } else if !field.is_map() {
            let value = value(dice, &field, words, depth);
            message.set_field(&field, value);
        }
    }
    message
}

fn methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let ours = pool.services().filter(|service| service.full_name().starts_with("daybook."));
    ours.flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

async fn no_message_is_a_defect(world: World) {
    let (world, _mail) = world.mailing(&[]).await;
    let mut people = vec![world.customer().await, world.provider().await, world.admin().await];
    let words = words(&people);
    let mut dice = Dice(2);
    for method in methods() {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        for round in 0..rounds(12, 1_000) {
            let sampled = sample(&mut dice, &method.input(), &words, 0);
            let message = sampled.encode_to_vec();
            // Every third one is no message any more.
            let bytes = if round % 3 == 2 { dice.change(&message, &message) } else { message };
            let caller = dice.roll(people.len());
            let token = format!("Bearer {}", people[caller].token);
            let answer =
                unary(&world.channel, &path, authorized(bytes.clone(), Some(&token))).await;
            let Err(status) = answer else { continue };
            let defects = [Code::Internal, Code::Unknown, Code::DataLoss, Code::Cancelled];
            let shown: String = format!("{sampled:?}").chars().take(2_000).collect();
            let text = status.message();
            assert!(!defects.contains(&status.code()), "{path} {round}: {text}; {shown}");
            // Some messages end the session that they come with, or shut somebody out.
            if status.code() == Code::Unauthenticated {
                // Wrong passwords of the messages are forgotten in time.
                world.forward(TimeDelta::minutes(15));
                people[caller] = match caller {
                    0 => world.customer().await,
                    1 => world.provider().await,
                    _ => world.admin().await,
                };
            }
        }
    }
    serving(&world.channel).await;
}
