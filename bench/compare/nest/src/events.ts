import { Injectable, OnModuleInit } from "@nestjs/common";
import { InjectDataSource } from "@nestjs/typeorm";
import { connect, ConfirmChannel, ConsumeMessage } from "amqplib";
import { DataSource, In } from "typeorm";
import { v7 as newId } from "uuid";

import { Email, Notification, Order, OutboxEvent } from "./entities";

const EXCHANGE = "compare.nest";
const QUEUE = "compare.nest.notify";
const PAGE = 500;

@Injectable()
export class Events implements OnModuleInit {
  private publisher: ConfirmChannel;
  private woken: () => void = () => undefined;

  constructor(@InjectDataSource() private readonly database: DataSource) {}

  async onModuleInit(): Promise<void> {
    const connection = await connect(process.env.AMQP_URL as string);
    this.publisher = await connection.createConfirmChannel();
    await this.publisher.assertExchange(EXCHANGE, "topic", { durable: true });
    const listener = await connection.createChannel();
    await listener.assertQueue(QUEUE, { durable: true, arguments: { "x-queue-type": "quorum" } });
    await listener.bindQueue(QUEUE, EXCHANGE, "order.placed");
    await listener.prefetch(64);
    await listener.consume(QUEUE, (message) => {
      if (!message) return;
      this.notify(message).then(
        () => listener.ack(message),
        (error) => {
          console.error(error);
          listener.nack(message);
        },
      );
    });
    void this.relay();
  }

  wake(): void {
    this.woken();
  }

  private async relay(): Promise<void> {
    const outbox = this.database.getRepository(OutboxEvent);
    for (;;) {
      const events = await outbox.find({ where: { sent: false }, order: { position: "ASC" }, take: PAGE });
      if (events.length === 0) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, 250);
          this.woken = () => {
            clearTimeout(timer);
            resolve();
          };
        });
        continue;
      }
      for (const event of events) {
        const body = Buffer.from(JSON.stringify(event.body));
        this.publisher.publish(EXCHANGE, event.name, body, { messageId: event.id, persistent: true, mandatory: true });
      }
      await this.publisher.waitForConfirms();
      await outbox.update({ position: In(events.map((event) => event.position)) }, { sent: true });
    }
  }

  private async notify(message: ConsumeMessage): Promise<void> {
    const { order } = JSON.parse(message.content.toString()) as { order: Order };
    const eventId = message.properties.messageId as string;
    await this.database.transaction(async (manager) => {
      const title = `Order ${order.number}`;
      await manager.createQueryBuilder().insert().into(Notification)
        .values({ id: newId(), eventId, userId: order.userId, title }).orIgnore().execute();
      await manager.createQueryBuilder().insert().into(Email)
        .values({ id: newId(), eventId, userId: order.userId, status: "PENDING" }).orIgnore().execute();
    });
  }
}
