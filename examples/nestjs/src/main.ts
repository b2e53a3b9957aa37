import 'reflect-metadata';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

@Controller()
class Hello {
  @Get()
  hello(): string {
    return 'hello';
  }
}

@Module({ controllers: [Hello] })
class App {}

async function main(): Promise<void> {
  const app = await NestFactory.create(App);
  app.enableShutdownHooks();
  await app.listen(3000);
}

void main();
