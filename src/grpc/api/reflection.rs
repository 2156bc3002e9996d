//! Server reflection, v1 and v1alpha, that serves the descriptors whole.
//!
//! tonic-reflection's own service re-encodes descriptors with prost, which drops custom options such
//! as `google.api.field_behavior`; its messages and server types are used here, its answers are not.
//! v1alpha is what Python's reflection client still asks for.

use std::{pin::Pin, sync::Arc};

use prost_reflect::{DescriptorPool, FileDescriptor};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use crate::grpc::proto;
use crate::kernel::fault::Fault;

/// Everything that is served, by name.
#[derive(Debug, Clone)]
pub(in crate::grpc) struct Reflection(Arc<DescriptorPool>);

impl Reflection {
    pub(in crate::grpc) fn new() -> Result<Self, Fault> {
        let mut pool = DescriptorPool::new();
        for set in [
            proto::DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            pool.decode_file_descriptor_set(set)
                .map_err(|e| Fault::internal(format!("the descriptor set: {e}")))?;
        }
        Ok(Self(Arc::new(pool)))
    }

    fn services(&self) -> impl Iterator<Item = String> {
        self.0.services().map(|service| service.full_name().to_owned())
    }

    fn file(&self, name: &str) -> Option<Vec<u8>> {
        self.0.get_file_by_name(name).map(|file| file.encode_to_vec())
    }

    /// The file that declares this service, method, message, field, oneof, enum, value or extension.
    fn file_of(&self, symbol: &str) -> Option<Vec<u8>> {
        let pool = &self.0;
        let service = pool.get_service_by_name(symbol).map(|s| s.parent_file());
        let message = || pool.get_message_by_name(symbol).map(|m| m.parent_file());
        let enumeration = || pool.get_enum_by_name(symbol).map(|e| e.parent_file());
        let extension = || pool.get_extension_by_name(symbol).map(|e| e.parent_file());
        let part = || symbol.rsplit_once('.').and_then(|(of, name)| self.file_of_part(of, name));
        // A value stands beside its enum and not inside it, so its name does not tell which enum it is of.
        let value = || {
            let mut all = pool.all_enums();
            let of = all.find(|e| e.values().any(|value| value.full_name() == symbol));
            of.map(|e| e.parent_file())
        };
        let file = service
            .or_else(message)
            .or_else(enumeration)
            .or_else(extension)
            .or_else(part)
            .or_else(value);
        file.map(|file| file.encode_to_vec())
    }

    /// The file with this method of a service, or field or oneof of a message.
    fn file_of_part(&self, of: &str, name: &str) -> Option<FileDescriptor> {
        if let Some(service) = self.0.get_service_by_name(of) {
            return service.methods().any(|m| m.name() == name).then(|| service.parent_file());
        }
        let message = self.0.get_message_by_name(of)?;
        let has = message.get_field_by_name(name).is_some()
            || message.oneofs().any(|oneof| oneof.name() == name);
        has.then(|| message.parent_file())
    }

    fn extension(&self, of: &str, number: u32) -> Option<Vec<u8>> {
        let message = self.0.get_message_by_name(of)?;
        let extension = message.get_extension(number)?;
        Some(extension.parent_file().encode_to_vec())
    }

    fn extensions(&self, of: &str) -> Option<Vec<i32>> {
        let message = self.0.get_message_by_name(of)?;
        Some(message.extensions().filter_map(|e| i32::try_from(e.number()).ok()).collect())
    }
}

macro_rules! serve {
    ($version:ident) => {
        #[tonic::async_trait]
        impl tonic_reflection::pb::$version::server_reflection_server::ServerReflection
            for Reflection
        {
            type ServerReflectionInfoStream = Pin<
                Box<
                    dyn Stream<
                            Item = Result<
                                tonic_reflection::pb::$version::ServerReflectionResponse,
                                Status,
                            >,
                        > + Send,
                >,
            >;

            async fn server_reflection_info(
                &self,
                request: Request<
                    Streaming<tonic_reflection::pb::$version::ServerReflectionRequest>,
                >,
            ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
                use tonic_reflection::pb::$version::{
                    ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse,
                    ListServiceResponse, ServerReflectionResponse, ServiceResponse,
                    server_reflection_request::MessageRequest,
                    server_reflection_response::MessageResponse,
                };
                let reflection = self.clone();
                // One answer a question, in order; nothing is queued.
                let answers = request.into_inner().map(move |question| {
                    let question = question?;
                    let file = |bytes: Vec<u8>| {
                        MessageResponse::FileDescriptorResponse(FileDescriptorResponse {
                            file_descriptor_proto: vec![bytes],
                        })
                    };
                    let answer = match &question.message_request {
                        Some(MessageRequest::FileByFilename(name)) => {
                            reflection.file(name).map(file)
                        }
                        Some(MessageRequest::FileContainingSymbol(symbol)) => {
                            reflection.file_of(symbol).map(file)
                        }
                        Some(MessageRequest::FileContainingExtension(asked)) => {
                            u32::try_from(asked.extension_number)
                                .ok()
                                .and_then(|n| reflection.extension(&asked.containing_type, n))
                                .map(file)
                        }
                        Some(MessageRequest::AllExtensionNumbersOfType(name)) => {
                            reflection.extensions(name).map(|numbers| {
                                MessageResponse::AllExtensionNumbersResponse(
                                    ExtensionNumberResponse {
                                        base_type_name: name.clone(),
                                        extension_number: numbers,
                                    },
                                )
                            })
                        }
                        Some(MessageRequest::ListServices(_)) => {
                            let service = reflection.services();
                            let service = service.map(|name| ServiceResponse { name }).collect();
                            Some(MessageResponse::ListServicesResponse(ListServiceResponse {
                                service,
                            }))
                        }
                        None => None,
                    };
                    let message_response = answer.unwrap_or_else(|| {
                        MessageResponse::ErrorResponse(ErrorResponse {
                            error_code: tonic::Code::NotFound.into(),
                            error_message: "there is no such file or symbol".to_owned(),
                        })
                    });
                    Ok(ServerReflectionResponse {
                        valid_host: question.host.clone(),
                        original_request: Some(question),
                        message_response: Some(message_response),
                    })
                });
                Ok(Response::new(Box::pin(answers)))
            }
        }
    };
}

serve!(v1);
serve!(v1alpha);
