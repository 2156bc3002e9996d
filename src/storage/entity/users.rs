use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    pub email: String,
    pub email_verified_at: Option<DateTimeUtc>,
    pub display_name: String,
    pub password_hash: String,
    pub role: String,
    pub time_zone: String,
    pub disabled: bool,
    pub token_generation: i64,
    pub tokens_ended_at: Option<DateTimeUtc>,
    pub kept_session: Option<Uuid>,
    pub version: i64,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    pub erased_at: Option<DateTimeUtc>,
    pub stamp: i64,
    pub phone: String,
    pub enrolled_by: Option<Uuid>,
    pub merged_into: Option<Uuid>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
