import { BadRequestException, Body, ConflictException, Controller, Get, Headers, HttpCode, Injectable, Post } from "@nestjs/common";
import { InjectDataSource } from "@nestjs/typeorm";
import { DataSource } from "typeorm";
import { v7 as newId } from "uuid";

import { Answer, Change, Item, Order, OutboxEvent, Product } from "./entities";
import { Events } from "./events";

interface PlaceOrder {
  items: Item[];
  idempotencyKey: string;
}

@Injectable()
export class Orders {
  constructor(
    @InjectDataSource() private readonly database: DataSource,
    private readonly events: Events,
  ) {}

  async place(userId: string, asked: PlaceOrder): Promise<object> {
    const answer = await this.database.transaction(async (manager) => {
      const known = await manager.findOneBy(Answer, { key: asked.idempotencyKey });
      if (known) return known.answer;
      const items: Item[] = [];
      let total = 0n;
      for (const item of [...asked.items].sort((one, other) => (one.productId < other.productId ? -1 : 1))) {
        const sold = await manager
          .createQueryBuilder()
          .update(Product)
          .set({ stock: () => "stock - :quantity", updateTime: () => "now()" })
          .where("id = :id AND stock >= :quantity", { id: item.productId, quantity: item.quantity })
          .returning(["priceMinor", "stock"])
          .execute();
        const [row] = sold.raw as { price_minor: string; stock: number }[];
        if (!row) throw new ConflictException("sold out");
        items.push({ ...item, priceMinor: row.price_minor });
        total += BigInt(row.price_minor) * BigInt(item.quantity);
        const before = { stock: row.stock + item.quantity };
        await manager.insert(Change, { entity: "product", entityId: item.productId, before, after: { stock: row.stock }, actor: userId });
      }
      const id = newId();
      const order = { id, number: id.slice(24), userId, status: "PLACED", items, totalMinor: total.toString() };
      await manager.insert(Order, order);
      await manager.insert(Change, { entity: "order", entityId: id, before: null, after: order, actor: userId });
      const answer = { order };
      await manager.insert(OutboxEvent, { id: newId(), name: "order.placed", key: id, body: answer });
      await manager.insert(Answer, { key: asked.idempotencyKey, answer, expireTime: new Date(Date.now() + 7 * 86_400_000) });
      return answer;
    });
    this.events.wake();
    return answer;
  }
}

@Controller()
export class OrdersController {
  constructor(private readonly orders: Orders) {}

  @Post("api/v1/orders")
  @HttpCode(200)
  async place(@Headers("x-user") user: string, @Body() body: PlaceOrder): Promise<object> {
    if (!body?.items?.length || !body.idempotencyKey) throw new BadRequestException();
    return this.orders.place(user ?? "", body);
  }

  @Get("healthz")
  health(): string {
    return "ok";
  }
}
