// @ts-check
// The view library, and the state that several parts of a page share. index.html loads Preact and
// htm as scripts: their modules import each other by bare names, which need an inline import map.
const { preact, preactHooks, htm } = /** @type {any} */ (window);

export const html = htm.bind(preact.h);
export const render = preact.render;
export const { useErrorBoundary } = preactHooks;

/** @type {<T>(initial: T) => [T, (next: any) => void]} */
export const useState = preactHooks.useState;

/** @type {<T>(initial: T) => {current: T}} */
export const useRef = preactHooks.useRef;

/** @type {<T>(make: () => T, deps: any[]) => T} */
export const useMemo = preactHooks.useMemo;

/** @type {<T extends Function>(f: T, deps: any[]) => T} */
export const useCallback = preactHooks.useCallback;

/** @type {(effect: () => void | (() => void), deps?: any[]) => void} */
export const useEffect = preactHooks.useEffect;

/** @type {(effect: () => void | (() => void), deps?: any[]) => void} */
export const useLayoutEffect = preactHooks.useLayoutEffect;

/**
 * A store holds one value and tells its subscribers about each new one.
 * @template T
 * @param {T} value
 */
export function createStore(value) {
	/** @type {Set<() => void>} */
	const subscribers = new Set();
	return {
		get: () => value,
		/** @param {T} next */
		set(next) {
			value = next;
			for (const tell of [...subscribers]) tell();
		},
		/** @param {() => void} tell */
		subscribe(tell) {
			subscribers.add(tell);
			return () => { subscribers.delete(tell); };
		},
	};
}

/**
 * useStore draws the component again whenever the store's value changes.
 * @template T
 * @param {{get: () => T, subscribe: (tell: () => void) => () => void}} store
 * @returns {T}
 */
export function useStore(store) {
	const [, draw] = useState({});
	useLayoutEffect(() => store.subscribe(() => draw({})), [store]);
	return store.get();
}

/**
 * useLoad runs load when the component appears and whenever deps change. The data of the last
 * success stays while a reload runs, so that nothing jumps.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} load
 * @param {any[]} deps
 */
export function useLoad(load, deps) {
	const [state, setState] = useState(/** @type {{key: string, data?: any, error?: any, loading: boolean}} */ ({ key: '', loading: true }));
	const [count, setCount] = useState(0);
	const key = JSON.stringify(deps);
	useEffect(() => {
		const abort = new AbortController();
		setState((/** @type {any} */ old) => old.key === key ? { ...old, loading: true } : { key, loading: true });
		load(abort.signal).then(
			data => abort.signal.aborted || setState({ key, data, loading: false }),
			error => abort.signal.aborted || setState((/** @type {any} */ old) => ({ ...old, key, error, loading: false })),
		);
		return () => abort.abort();
	}, [key, count]);
	const reload = useCallback(() => setCount((/** @type {number} */ n) => n + 1), []);
	const setData = useCallback((/** @type {(data: any) => any} */ change) =>
		setState((/** @type {any} */ old) => ({ ...old, data: change(old.data) })), []);
	const fresh = state.key === key ? state : { key, loading: true, data: undefined, error: undefined };
	return { data: /** @type {T | undefined} */ (fresh.data), error: fresh.error, loading: fresh.loading, reload, setData };
}

/**
 * useInterval runs tick every period milliseconds while the page is visible. A period of 0 stops
 * it.
 * @param {() => void} tick
 * @param {number} period
 */
export function useInterval(tick, period) {
	const latest = useRef(tick);
	latest.current = tick;
	useEffect(() => {
		if (!period) return undefined;
		const timer = setInterval(() => document.hidden || latest.current(), period);
		return () => clearInterval(timer);
	}, [period]);
}
