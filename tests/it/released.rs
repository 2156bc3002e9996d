//! What was released is served: the committed image of the last release against the descriptors.

use std::{collections::BTreeSet, fs, path::Path};

use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor};

use crate::surface::{api, is_ours};

/// The options of an element, one line each: standard ones, such as `deprecated`, and extensions, such as
/// `google.api.field_behavior`, whatever there will be of them.
fn options(found: &mut BTreeSet<String>, of: &str, options: &DynamicMessage) {
    for (option, value) in options.fields() {
        found.insert(format!("option {of} {} {value:?}", option.full_name()));
    }
    for (extension, value) in options.extensions() {
        found.insert(format!("option {of} [{}] {value:?}", extension.full_name()));
    }
    let unknown: Vec<_> = options.unknown_fields().collect();
    assert!(unknown.is_empty(), "{of}: options that the image does not describe: {unknown:?}");
}

/// Everything that a client can depend on, one line each.
fn contract(pool: &DescriptorPool) -> BTreeSet<String> {
    fn message(found: &mut BTreeSet<String>, message: &MessageDescriptor) {
        found.insert(format!("message {}", message.full_name()));
        options(found, message.full_name(), &message.options());
        for field in message.fields() {
            let kind = match field.kind() {
                Kind::Message(of) => of.full_name().to_owned(),
                Kind::Enum(of) => of.full_name().to_owned(),
                scalar => format!("{scalar:?}"),
            };
            let (name, number) = (field.full_name(), field.number());
            let cardinality = field.cardinality();
            let json = field.json_name();
            let presence = field.supports_presence();
            found.insert(format!("field {name} {number} {cardinality:?} {kind} {json} {presence}"));
            options(found, name, &field.options());
        }
        for oneof in message.oneofs() {
            options(found, oneof.full_name(), &oneof.options());
        }
        for range in message.reserved_ranges() {
            found.insert(format!("reserved {} {range:?}", message.full_name()));
        }
    }
    let mut found = BTreeSet::new();
    for file in pool.files().filter(|file| is_ours(file.package_name())) {
        options(&mut found, file.name(), &file.options());
    }
    for service in pool.services().filter(|s| is_ours(s.full_name())) {
        options(&mut found, service.full_name(), &service.options());
        for m in service.methods() {
            options(&mut found, m.full_name(), &m.options());
            let (input, output) = (m.input(), m.output());
            found.insert(format!(
                "method {} {} {} {} {}",
                m.full_name(),
                input.full_name(),
                output.full_name(),
                m.is_client_streaming(),
                m.is_server_streaming()
            ));
        }
    }
    pool.all_messages().filter(|m| is_ours(m.full_name())).for_each(|m| message(&mut found, &m));
    for enumeration in pool.all_enums().filter(|e| is_ours(e.full_name())) {
        options(&mut found, enumeration.full_name(), &enumeration.options());
        for value in enumeration.values() {
            found.insert(format!("value {} {}", value.full_name(), value.number()));
            options(&mut found, value.full_name(), &value.options());
        }
    }
    found
}

/// The image is that of the last release; the next one writes it anew.
#[test]
fn what_was_released_is_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/image.binpb");
    let image = fs::read(path).expect("proto/image.binpb: make it with `buf build`");
    let image = DescriptorPool::decode(&*image).unwrap();
    let (released, served) = (contract(&image), contract(&api()));
    assert!(released.len() > 200, "{}", released.len());
    let behaviours = released.iter().filter(|line| line.contains("[google.api.field_behavior]"));
    assert!(
        behaviours.count() > 100 && released.iter().any(|line| line.contains("idempotency_level"))
    );
    let gone: Vec<_> = released.difference(&served).collect();
    assert!(gone.is_empty(), "{gone:#?}");
    // The options of what was released are no other ones: none that is new either, but that it will go some day.
    let elements: BTreeSet<_> = released.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    let is_new = |line: &&&String| {
        line.starts_with("option ") && elements.contains(line.split(' ').nth(1).unwrap())
    };
    let new = served.difference(&released).filter(|line| is_new(&line));
    let new: Vec<_> = new.filter(|line| !line.contains("Options.deprecated ")).collect();
    assert!(new.is_empty(), "{new:#?}");
}
