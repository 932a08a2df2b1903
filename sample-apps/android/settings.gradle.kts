// The sample app for Android Studio. By default the library is built from ../../android beside it (run scripts/build-android first);
// -Psilhouette.maven=FOLDER uses the AAR of a Maven repository folder instead, such as the output of scripts/package-aar.
pluginManagement {
    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
}

val packaged: String? = providers.gradleProperty("silhouette.maven").orNull

dependencyResolutionManagement {
    repositoriesMode = RepositoriesMode.FAIL_ON_PROJECT_REPOS
    repositories {
        packaged?.let { folder -> maven { url = uri(folder) } }
        google()
        mavenCentral()
    }
    versionCatalogs {
        create("libs") {
            from(files("../../android/gradle/libs.versions.toml"))
            plugin("android-application", "com.android.application").versionRef("agp")
            library("coroutines-android", "org.jetbrains.kotlinx", "kotlinx-coroutines-android").versionRef("coroutines")
        }
    }
}

rootProject.name = "silhouette-sample"
include(":app")
if (packaged == null) includeBuild("../../android")
