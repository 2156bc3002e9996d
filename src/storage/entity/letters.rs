use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "letters")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub letter_id: Uuid,
    pub kind: String,
    pub sealed: Vec<u8>,
    pub attempts: i32,
    pub created_at: DateTimeUtc,
    pub due_at: DateTimeUtc,
    pub expires_at: DateTimeUtc,
    pub recipient: Option<Vec<u8>>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
