import { beforeEach, expect, test } from 'vitest';
import type { Tally, TrafficWindow } from '../../../domain/traffic.js';
import { WindowBook } from '../../../drivers/traffic/window-book.js';

let closed: { window: TrafficWindow; tally: Tally }[];
let book: WindowBook;

beforeEach(() => {
  closed = [];
  book = new WindowBook({
    startedAtMs: 0,
    startedAtEpochMs: 5_000_000,
    slotMs: 100,
    onWindow: (window, tally) => closed.push({ window, tally }),
  });
});

test('closes a window when its last request has ended, and not before its time is over', () => {
  book.sent(0);
  book.ended(0, 'good', 10, 10);
  expect(closed).toHaveLength(0);
  book.sent(0);
  book.over(1, 1000);
  expect(closed).toHaveLength(0);
  book.ended(0, 'good', 20, 1010);
  expect(closed.map(({ window }) => window)).toEqual([
    { atMs: 5_000_000, sent: 2, failed: 0, idleClosed: 0, p50Ms: 10.007, p99Ms: 20.015 },
  ]);
});

test('hands windows out in order, whichever ends first', () => {
  book.sent(0);
  book.sent(1);
  book.over(2, 2000);
  book.ended(1, 'good', 5, 2001);
  expect(closed).toHaveLength(0);
  book.ended(0, 'timed out', 2500, 2500);
  expect(closed.map(({ window }) => window.atMs)).toEqual([5_000_000, 5_001_000]);
  expect(closed.map(({ window }) => window.failed)).toEqual([1, 0]);
});

test('gives with each window the sum of those closed so far', () => {
  book.sent(0);
  book.sent(1);
  book.sent(1);
  book.ended(1, 'HTTP 503', 5, 900);
  book.ended(0, 'refused', 5, 901);
  book.over(1, 1000);
  expect(closed[0]!.tally).toMatchObject({ sent: 1, failed: 1, failures: { refused: 1 }, observedMs: 100 });
  book.ended(1, 'idle closed', 5, 1900);
  book.over(2, 2000);
  expect(closed[1]!.tally).toMatchObject({
    sent: 3,
    failed: 2,
    idleClosed: 1,
    failures: { refused: 1, 'HTTP 503': 1 },
    observedMs: 300,
  });
});

test('measures the longest gap between good answers, also from the start and while it still lasts', () => {
  book.sent(0);
  book.ended(0, 'good', 5, 300);
  expect(book.tally(310).longestGapMs).toBe(300);
  book.sent(0);
  book.ended(0, 'HTTP 503', 5, 500);
  expect(book.tally(1000).longestGapMs).toBe(700);
  book.sent(1);
  book.ended(1, 'good', 5, 1100);
  book.sent(1);
  book.ended(1, 'good', 5, 1101);
  expect(book.tally(1200).longestGapMs).toBe(800);
});

test('holds its own pauses against coverage, not against the service', () => {
  book.sent(0);
  book.ended(0, 'good', 5, 100);
  book.skipped(300, 30_100);
  book.sent(30);
  book.ended(30, 'good', 5, 30_150);
  book.over(31, 31_000);
  expect(book.tally(30_200)).toMatchObject({
    sent: 2,
    observedMs: 200,
    unobservedMs: 30_000,
    longestGapMs: 100,
  });
});

test('forgets nothing of a gap in which it paused', () => {
  book.sent(0);
  book.ended(0, 'good', 5, 100);
  book.skipped(20, 10_100);
  book.sent(10);
  book.ended(10, 'good', 5, 10_150);
  expect(book.tally(10_150).longestGapMs).toBe(8_050);
});

test('does not count what could not leave this machine', () => {
  book.sent(0);
  book.sent(0);
  book.ended(0, 'not sent', 1, 10);
  book.ended(0, 'good', 1, 20);
  book.over(1, 1000);
  expect(closed[0]!.window).toMatchObject({ sent: 1, failed: 0 });
  expect(closed[0]!.tally).toMatchObject({ sent: 1, observedMs: 100, unobservedMs: 100 });
});

test('keeps quick refusals out of the percentiles, and timeouts in', () => {
  for (const [ending, latencyMs] of [
    ['good', 50],
    ['refused', 1],
    ['refused', 1],
    ['timed out', 2000],
  ] as const) {
    book.sent(0);
    book.ended(0, ending, latencyMs, 10);
  }
  book.over(1, 1000);
  expect(closed[0]!.window.p50Ms).toBeGreaterThanOrEqual(50);
  expect(closed[0]!.window.p99Ms).toBeGreaterThanOrEqual(1999);
});
