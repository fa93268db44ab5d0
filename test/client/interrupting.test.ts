import { expect, onTestFinished, test } from 'vitest';
import { Interruptions } from '../../client/commands/switch/interrupting.js';

function interruptions(): { readonly stage: () => AbortSignal; readonly told: string[] } {
  const made = new Interruptions();
  onTestFinished(() => made.end());
  const told: string[] = [];
  return { told, stage: () => made.stage(() => told.push('stopping')) };
}

test('a Ctrl-C before anything is moved keeps it from being moved', () => {
  const { stage, told } = interruptions();
  process.emit('SIGINT');
  expect(stage().aborted).toBe(true);
  expect(told).toEqual(['stopping']);
  expect(stage().aborted).toBe(false);
});

test('a Ctrl-C ends the stage that runs, once', () => {
  const { stage, told } = interruptions();
  const first = stage();
  process.emit('SIGINT');
  process.emit('SIGTERM');
  expect(first.aborted).toBe(true);
  expect(told).toEqual(['stopping']);
  expect(stage().aborted).toBe(false);
});
