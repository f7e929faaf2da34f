import "reflect-metadata";
import { Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { TypeOrmModule } from "@nestjs/typeorm";

import { ENTITIES } from "./entities";
import { Events } from "./events";
import { Orders, OrdersController } from "./orders";

@Module({
  imports: [
    TypeOrmModule.forRoot({ type: "postgres", url: process.env.DATABASE_URL, entities: ENTITIES, extra: { max: 16 } }),
  ],
  controllers: [OrdersController],
  providers: [Orders, Events],
})
class Shop {}

async function main(): Promise<void> {
  const shop = await NestFactory.create(Shop, { logger: ["error", "warn"] });
  await shop.listen(Number(process.env.PORT), "127.0.0.1");
}

void main();
