/** The two environments of a service. */
export type Color = 'blue' | 'green';

export const colors: readonly Color[] = ['blue', 'green'];

/** The only place that knows there are two. */
export const otherColor = (color: Color): Color => (color === 'blue' ? 'green' : 'blue');

export const isColor = (value: unknown): value is Color => value === 'blue' || value === 'green';
