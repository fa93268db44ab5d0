import { colors, type Color } from './color.js';

/** The share of new traffic per environment, in percent; the two add up to 100. */
export type Split = Readonly<Record<Color, number>>;

export const allTo = (color: Color): Split =>
  color === 'blue' ? { blue: 100, green: 0 } : { blue: 0, green: 100 };

/** The environment that gets everything, or `undefined` while traffic is divided. */
export const wholly = (split: Split): Color | undefined => colors.find((color) => split[color] === 100);

export const sameSplit = (a: Split, b: Split): boolean => a.blue === b.blue && a.green === b.green;

export const describeSplit = (split: Split): string => {
  const color = wholly(split);
  return color ? `all to ${color}` : `blue ${split.blue} %, green ${split.green} %`;
};
