import { Column, CreateDateColumn, Entity, PrimaryColumn, PrimaryGeneratedColumn, VersionColumn, UpdateDateColumn } from "typeorm";

@Entity("products")
export class Product {
  @PrimaryColumn("uuid") id: string;
  @Column("text") name: string;
  @Column("bigint", { name: "price_minor" }) priceMinor: string;
  @Column("integer") stock: number;
  @VersionColumn({ type: "bigint" }) version: string;
  @UpdateDateColumn({ name: "update_time", type: "timestamptz" }) updateTime: Date;
}

export interface Item {
  productId: string;
  quantity: number;
  priceMinor?: string;
}

@Entity("orders")
export class Order {
  @PrimaryColumn("uuid") id: string;
  @Column("text") number: string;
  @Column("text", { name: "user_id" }) userId: string;
  @Column("text") status: string;
  @Column("jsonb") items: Item[];
  @Column("bigint", { name: "total_minor" }) totalMinor: string;
  @CreateDateColumn({ name: "create_time", type: "timestamptz" }) createTime: Date;
}

@Entity("change_log")
export class Change {
  @PrimaryGeneratedColumn("increment", { type: "bigint" }) position: string;
  @Column("text") entity: string;
  @Column("uuid", { name: "entity_id" }) entityId: string;
  @Column("jsonb", { nullable: true }) before: object | null;
  @Column("jsonb", { nullable: true }) after: object | null;
  @Column("text") actor: string;
}

@Entity("outbox")
export class OutboxEvent {
  @PrimaryGeneratedColumn("increment", { type: "bigint" }) position: string;
  @Column("uuid") id: string;
  @Column("text") name: string;
  @Column("text") key: string;
  @Column("jsonb") body: object;
  @Column("boolean", { default: false }) sent: boolean;
}

@Entity("idempotency")
export class Answer {
  @PrimaryColumn("text") key: string;
  @Column("jsonb") answer: object;
  @Column("timestamptz", { name: "expire_time" }) expireTime: Date;
}

@Entity("notifications")
export class Notification {
  @PrimaryColumn("uuid") id: string;
  @Column("uuid", { name: "event_id" }) eventId: string;
  @Column("text", { name: "user_id" }) userId: string;
  @Column("text") title: string;
}

@Entity("emails")
export class Email {
  @PrimaryColumn("uuid") id: string;
  @Column("uuid", { name: "event_id" }) eventId: string;
  @Column("text", { name: "user_id" }) userId: string;
  @Column("text") status: string;
}

export const ENTITIES = [Product, Order, Change, OutboxEvent, Answer, Notification, Email];
