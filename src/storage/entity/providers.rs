use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "providers")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub provider_id: Uuid,
    pub display_name: String,
    pub enabled: bool,
    pub time_zone: String,
    pub weekly_hours: Json,
    pub slot_minutes: i32,
    pub longest_minutes: i32,
    pub version: i64,
    pub schedule_version: i64,
    pub schedule_updated_at: DateTimeUtc,
    pub plan: Json,
    pub last_assigned_at: Option<DateTimeUtc>,
    pub stamp: i64,
    pub schedule_stamp: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
