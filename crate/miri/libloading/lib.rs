//! A library that has one function, GNU's `GOMP_parallel`.
pub mod os {
    pub mod unix {
        use std::ffi::{c_int, c_uint, c_void};
        use std::ops::Deref;
        pub struct Library;
        pub struct Symbol<T>(T);
        impl<T> Deref for Symbol<T> {
            type Target = T;
            fn deref(&self) -> &T {
                &self.0
            }
        }
        impl Library {
            pub unsafe fn open(_: Option<&str>, _: c_int) -> Result<Library, ()> {
                Ok(Library)
            }
            pub unsafe fn get<T>(&self, name: &[u8]) -> Result<Symbol<T>, ()> {
                assert_eq!(name, b"GOMP_parallel\0");
                let found: unsafe extern "C" fn(extern "C" fn(*mut c_void), *mut c_void, c_uint, c_uint) = parallel;
                assert_eq!(size_of::<T>(), size_of_val(&found));
                Ok(Symbol(unsafe { std::mem::transmute_copy(&found) }))
            }
        }
        #[derive(Clone, Copy)]
        struct Address(*mut c_void);
        unsafe impl Send for Address {}
        unsafe extern "C" fn parallel(run: extern "C" fn(*mut c_void), data: *mut c_void, threads: c_uint, _: c_uint) {
            let data = Address(data);
            std::thread::scope(|scope| {
                for _ in 1..threads {
                    scope.spawn(move || {
                        let data = data;
                        run(data.0)
                    });
                }
                run(data.0);
            });
        }
    }
}
